"""The recorded examples are the model's own answers, on different sequences of the task."""

import numpy as np
import pytest

from drasp.evidence.examples import examples
from drasp.measure import predictions
from drasp.tasks.registry import get_task


@pytest.mark.parametrize("name", ["D2", "sort", "bin_majority"])
def test_examples_hold_what_the_model_predicts(name: str) -> None:
    task = get_task(name)
    table = np.random.default_rng(0).normal(size=(task.positions, len(task.vocabulary), len(task.vocabulary)))

    def model(token_ids: np.ndarray, position_ids: np.ndarray) -> np.ndarray:
        return table[position_ids, token_ids]

    found = examples(task, model, (0, 150), np.random.default_rng(0))
    assert found == examples(task, model, (0, 150), np.random.default_rng(0))
    assert len(found) == 6
    assert len({tuple(one["tokens"]) for one in found}) == 6
    for one in found:
        ids = np.array([task.vocabulary.index(token) for token in one["tokens"]])
        said = predictions(model(ids, one["positions"] + np.arange(len(ids)))[one["scored"]], task.predict)
        names = (
            [task.vocabulary[i] for i in said] if said.ndim == 1 else [[task.vocabulary[i] for i in np.flatnonzero(row)] for row in said]
        )
        assert one["model"] == names
        assert task.answers(ids[None]).shape[1] == len(ids)


def test_a_task_without_short_sequences_gives_long_ones() -> None:
    task = get_task("D2")
    found = examples(task, lambda token_ids, position_ids: np.zeros((*token_ids.shape, 6)), (60, 70), np.random.default_rng(0))
    assert all(len(one["tokens"]) > 60 for one in found)
