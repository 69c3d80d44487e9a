"""A few sequences of the task with what the model predicts on them, recorded so that they can be shown without the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, Row
from drasp.learn.evaluation import Examinee, has_sequences, predictions, spend, work
from drasp.tasks.protocol import Sample, outputs
from drasp.tasks.user import checked_sample


@dataclass(frozen=True)
class Example:
    """A sequence with what the model predicts.

    Attributes:
        positions: the id of the first position.
        scored: the places whose predictions count.
        model: what the model predicts there: a token each, or the tokens that may come next.
    """

    tokens: tuple[str, ...]
    positions: int
    scored: tuple[int, ...]
    model: tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True)
class ExamplesTuning(KindTuning):
    """Which sequences are recorded."""

    least: int = knob(1, unit="sequences", origin="chosen: they are shown, nothing is counted on them")
    most: int = knob(100, unit="sequences", origin="chosen: as many are drawn")
    short: int = knob(12, unit="length up to which short ones are drawn", origin="chosen: they fit a line")
    long: int = knob(40, unit="length up to which the long one is drawn", origin="chosen")
    short_ones: int = knob(5, unit="sequences", origin="chosen")
    long_ones: int = knob(1, unit="sequences", origin="chosen")
    drawn: int = knob(50, unit="sequences of which the first that differ are kept, of the long ones the longest", origin="chosen")
    fewest: int = knob(3, unit="tokens", origin="chosen: shorter ones show nothing")


def examples(examinee: Examinee, rng: np.random.Generator, budget: Budget, tuning: ExamplesTuning) -> tuple[Example, ...]:
    """Different sequences, short ones first and then a longer one."""
    task, lengths = examinee.task, examinee.lengths
    found: dict[tuple[str, ...], Example] = {}
    for longest, count in ((tuning.short, tuning.short_ones), (tuning.long, tuning.long_ones)):
        span = (lengths[0], max(lengths[0], min(lengths[1], longest)))
        drawn = checked_sample(task, rng, tuning.drawn, span if has_sequences(task, span) else lengths)
        ends = drawn.reach(examinee.bidirectional)
        rows = range(tuning.drawn) if longest == tuning.short else np.argsort(-ends, kind="stable")
        wanted = len(found) + count
        for row in rows:
            sample = Sample(*(array[row : row + 1, : ends[row]] for array in drawn))
            tokens = tuple(task.vocabulary[i] for i in sample.token_ids[0])
            if len(found) < wanted and len(tokens) >= tuning.fewest and tokens not in found:
                spend(budget, examinee.parts * work(sample))
                found[tokens] = _example(examinee, sample, tokens)
    return tuple(found.values())


def _example(examinee: Examinee, sample: Sample, tokens: tuple[str, ...]) -> Example:
    answers = predictions(examinee.logits(sample.token_ids, sample.position_ids)[sample.scored], examinee.task.predict)
    said = tuple(in_tokens(answer, outputs(examinee.task)) for answer in answers)
    return Example(tokens, int(sample.position_ids[0, 0]), tuple(np.flatnonzero(sample.scored[0]).tolist()), said)


def in_tokens(answer: np.ndarray, names: Sequence[str]) -> str | tuple[str, ...]:
    """A prediction: the token or output, or those that may come next."""
    if answer.ndim == 0:
        return names[int(answer)]
    return tuple(token for token, may in zip(names, answer, strict=True) if may)


def _measure(bench: Bench, tuning: ExamplesTuning) -> Mapping[str, Any]:
    return {"examples": examples(bench.question.examinee, bench.rng(Stream.EXAMPLES), bench.budget, tuning)}


def _rows(found: Sequence[Example] | None) -> Sequence[Row]:
    """None: they are not said, but shown and run by the report."""
    return []


EXAMPLES = Kind(
    name="examples",
    question="What does the model predict on a handful of sequences?",
    how="Short sequences of the task and a longer one; the report shows the program's answers beside the model's.",
    runs=lambda program: 1.0,
    measure=_measure,
    rows=_rows,
    tuning=ExamplesTuning(),
)
