"""Match where the model is right: what a program misses there is not the model's noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.core.intervals import Banded
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, Measured, NotMeasured, Row
from drasp.evidence.match import by_bands
from drasp.learn.evaluation import Chunk


@dataclass(frozen=True)
class RightTuning(KindTuning):
    """It runs nothing: the sequences are those of match."""

    least: int = knob(100, unit="sequences that the model gets right", origin="chosen: all of 100 alike show .963 at the least")


def right(measured: Measured, tuning: RightTuning) -> Banded:
    """The share of the sequences that the model gets right, on which all that the program predicts is what the model predicts.

    Raises:
        NotMeasured: the model is seldom right, or nobody knows what is.
    """

    def model_right(chunk: Chunk) -> np.ndarray:
        return chunk.right(chunk.model, chunk.truth)

    found = measured.answered.score(lambda chunk: chunk.right(measured.predicted(chunk), chunk.model), model_right)
    sequences = 0 if found is None else found.all.sequences
    if found is None or sequences < tuning.least:
        raise NotMeasured(f"the model gets {sequences} of the sequences right; fewer than {tuning.least} are no evidence")
    return found


def _measure(bench: Bench, tuning: RightTuning) -> Mapping[str, Any]:
    return {"right": right(bench.measured, tuning)}


def _rows(found: Banded | None, model_task: Banded | None) -> Sequence[Row]:
    if found is None:
        return []
    how_often = "" if model_task is None else f", on {model_task.all.accuracy:.4f} of the sequences,"
    return [Row("right", "", f"match where the model is right{how_often} {by_bands(found)}")]


RIGHT = Kind(
    name="right",
    question="On the sequences that the model gets right: does the program predict the same?",
    how="On the sequences of match; those that the model gets wrong are under mistakes.",
    runs=lambda program: 0.0,
    measure=_measure,
    rows=_rows,
    keys=("right", "model_task"),
    tuning=RightTuning(),
)
