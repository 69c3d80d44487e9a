"""The model's own mistakes: does the program make them too?"""

from collections.abc import Mapping

import numpy as np

from drasp.measure import Banded, Chunk, Judge, Predictor


def mistakes(judge: Judge, predicted: Predictor, baselines: Mapping[str, Predictor]) -> dict[str, object] | None:
    """Of the sequences that the model gets wrong, the share that the program predicts exactly alike, and that a baseline does.

    `program_wrong` is the share of them that the program gets wrong in any way. Bands in which the model is always right are left out; None
    where it is always right.
    """

    def wrong(chunk: Chunk) -> np.ndarray:
        return ~chunk.right(chunk.model, chunk.truth)

    def same(found: Predictor) -> Banded:
        return judge.score(lambda chunk: chunk.right(found(chunk), chunk.model), wrong)

    program_wrong = judge.score(lambda chunk: ~chunk.right(predicted(chunk), chunk.truth), wrong)
    if not program_wrong.bands:
        return None
    return {
        "same": same(predicted).as_json(),
        "program_wrong": program_wrong.as_json(),
        "baseline": {name: same(found).all.as_json() for name, found in baselines.items()},
    }
