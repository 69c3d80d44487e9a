"""The evidence of a run that never was, for tests of what shows it."""

from dataclasses import replace
from typing import Any

from drasp.core.intervals import Banded, Share
from drasp.evidence.attention import Attended, Attention
from drasp.evidence.examples import Example
from drasp.evidence.interchange import Component, Interchange, PairShare, Swap, Swapped, Unmoved
from drasp.evidence.kind import Baseline
from drasp.evidence.language import Count, Counterexample, Language, Wrong
from drasp.evidence.lines import LeaveOneOut
from drasp.evidence.mistakes import Mistakes
from drasp.evidence.off_task import Agreement, OffTask, PositionShare, Trivially
from drasp.evidence.schema import Evidence, Gap, ModelInfo, NamedPiece, PassRecord, Versions
from drasp.ir.program import Program
from drasp.ir.size import size

SHARE = Share((0, 50), 0.9987, 0.9979, 0.9992, 6667)
BANDED = Banded(replace(SHARE, lengths=(0, 100), sequences=13334), (SHARE, replace(SHARE, lengths=(51, 100), accuracy=0.5)))
CHANGED = PairShare(0.5, 0.4, 0.6, 93)
AGREEMENT = Agreement(
    PositionShare(0.75, 0.7, 0.8, 900), BANDED, Baseline(*(Trivially(PositionShare(p, 0.1, 0.9, 900), SHARE) for p in (0.125, 0.25)))
)
SWAPPED = Swapped(
    ("a1",), (Component("head", 0, 1, total_variation=0.01),), Swap(CHANGED, CHANGED, Unmoved(0.1)), Swap(None, None, Unmoved(None)), False
)
ATTENTION = Attention((Attended((), ("a1",), ((0, 0), (0, 1)), 0.0123, True, SHARE, True),), SHARE, True)

INTERCHANGE = Interchange((SWAPPED,), ("m1",), ())


def sample_evidence(program: Program, task: str = "tomita4", **changed: Any) -> Evidence:
    """Every kind with invented figures, but for a gap where `language` should be."""
    first = program.statements[0].name
    evidence = Evidence(
        verdict="decompiled",
        interrupted=False,
        stopped_by_time=False,
        size=size(program),
        passes=(PassRecord("lift", 0.1, 9, 3, 1.0),),
        seconds=2.5,
        seed=0,
        settings={"match": 0.99, "lengths": [0, 100], "seed": 0, "time": 60.0, "task": task},
        versions=Versions("0.1.0"),
        model=ModelInfo("ab" * 32, 1, 2, 16),
        matched_at=0.9979,
        match=BANDED,
        task=BANDED,
        model_task=BANDED,
        baseline=Baseline(BANDED, BANDED),
        attention=ATTENTION,
        mistakes=Mistakes(BANDED, BANDED, Baseline(SHARE, SHARE)),
        lines=tuple(LeaveOneOut(statement.name, 0.125, 0.625) for statement in program.statements[:-1]),
        examples=(),
        off_task=OffTask(AGREEMENT, None),
        interchange=INTERCHANGE,
        named=(NamedPiece("attention", (first,), 0.99, True, total_variation=0.1234),),
        gaps=(Gap("language", "its budget ran out before it was done"),),
    )
    return replace(evidence, **changed)


LANGUAGE = Language((0, 4), 9, 8, Wrong(1, Counterexample(("<bos>", "a"), ("a",), ("b",))), Wrong(0, None), Baseline(Count(3), Count(2)))
EXAMPLE = Example(("<bos>", "0", "0"), 7, (1, 2), (("0", "1", "<eos>"), ("1", "<eos>")))
