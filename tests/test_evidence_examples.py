"""The recorded examples are the model's own answers, on different sequences of the task."""

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.evidence.examples import ExamplesTuning, examples
from drasp.learn.evaluation import Examinee, predictions
from drasp.tasks.registry import get_task


def _examples(task, model, lengths):
    return examples(Examinee(task, model, lengths), np.random.default_rng(0), Budget.of_seconds(), ExamplesTuning())


@pytest.mark.parametrize("name", ["D2", "sort", "bin_majority"])
def test_examples_hold_what_the_model_predicts(name: str) -> None:
    task = get_task(name)
    table = np.random.default_rng(0).normal(size=(task.positions, len(task.vocabulary), len(task.vocabulary)))

    def model(token_ids: np.ndarray, position_ids: np.ndarray) -> np.ndarray:
        return table[position_ids, token_ids]

    found = _examples(task, model, (0, 150))
    assert found == _examples(task, model, (0, 150))
    assert len(found) == 6
    assert len({one.tokens for one in found}) == 6
    for one in found:
        ids = np.array([task.vocabulary.index(token) for token in one.tokens])
        said = predictions(model(ids, one.positions + np.arange(len(ids)))[list(one.scored)], task.predict)
        tokens = np.array(task.vocabulary, dtype=object)
        names = [tokens[row] if said.ndim == 1 else tuple(tokens[row]) for row in said]
        assert list(one.model) == names
        assert task.answers(ids[None]).shape[1] == len(ids)


def test_a_task_without_short_sequences_gives_long_ones() -> None:
    task = get_task("D2")
    found = _examples(task, lambda token_ids, position_ids: np.zeros((*token_ids.shape, 6)), (60, 70))
    assert all(len(one.tokens) > 60 for one in found)
