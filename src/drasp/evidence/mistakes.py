"""The model's own mistakes: does the program make them too?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.core.intervals import Banded, Share
from drasp.core.tuning import knob
from drasp.evidence.kind import Baseline, Bench, Kind, KindTuning, Measured, NotMeasured, Row
from drasp.learn.evaluation import Chunk, Predictor


@dataclass(frozen=True)
class Mistakes:
    """Of the sequences that the model gets wrong. Bands in which it is always right are left out.

    Attributes:
        same: the share that the program predicts exactly alike.
        program_wrong: the share that the program gets wrong in any way.
        baseline: the share that is trivially predicted exactly alike.
    """

    same: Banded
    program_wrong: Banded
    baseline: Baseline[Share]


@dataclass(frozen=True)
class MistakesTuning(KindTuning):
    """It runs nothing: the sequences are those of match."""

    least: int = knob(20, unit="sequences that the model gets wrong", origin="chosen: all of 20 alike show .84 at the least")


def mistakes(measured: Measured, tuning: MistakesTuning) -> Mistakes | None:
    """None where the model is always right; raises NotMeasured where it is nearly so, or nobody knows what is right."""
    fresh = measured.answered

    def wrong(chunk: Chunk) -> np.ndarray:
        return ~chunk.right(chunk.model, chunk.truth)

    def same(predicted: Predictor) -> Banded | None:
        return fresh.score(lambda chunk: chunk.right(predicted(chunk), chunk.model), wrong)

    found = same(measured.predicted)
    program_wrong = fresh.score(lambda chunk: ~chunk.right(measured.predicted(chunk), chunk.truth), wrong)
    trivially = {name: shares.all for name, guess in measured.trivial.items() if (shares := same(guess))}
    if found is None or program_wrong is None:
        return None
    if found.all.sequences < tuning.least:
        raise NotMeasured(f"the model gets {found.all.sequences} of the sequences wrong; fewer than {tuning.least} are no evidence")
    return Mistakes(found, program_wrong, Baseline(**trivially))


def _measure(bench: Bench, tuning: MistakesTuning) -> Mapping[str, Any]:
    return {"mistakes": mistakes(bench.measured, tuning)}


def _rows(found: Mistakes | None, model_task: Banded | None) -> Sequence[Row]:
    if found is None:
        return []
    how_often = "" if model_task is None else f", {1 - model_task.all.accuracy:.4f} of all,"
    same, wrong = found.same.all, found.program_wrong.all
    text = (
        f"of {same.sequences} sequences that the model gets wrong{how_often} the program predicts {same.accuracy:.3f} "
        f"[{same.low:.3f}, {same.high:.3f}] exactly alike (trivially {found.baseline.current_token.accuracy:.3f}), "
        f"and gets {wrong.accuracy:.3f} wrong"
    )
    return [Row("mistakes", "", text)]


MISTAKES = Kind(
    name="mistakes",
    question="Of the sequences that the model gets wrong: does the program get them wrong in the same way?",
    how="On the sequences of match.",
    runs=lambda program: 0.0,
    measure=_measure,
    rows=_rows,
    keys=("mistakes", "model_task"),
    tuning=MistakesTuning(),
)
