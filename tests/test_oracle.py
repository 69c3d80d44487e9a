"""How often logits predict what the model predicts."""

import torch

from drasp.learn.pools import Batch
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.tasks.registry import get_task
from planted import oracle_of


def matched(name, model_logits, found):
    transformer = load_transformer(ZOO / name)
    oracle = oracle_of(TorchTransformer(transformer), get_task(name), transformer=transformer)
    ids = torch.zeros(len(found), 1, dtype=torch.long)
    batch = Batch(ids, ids, ids == 0, torch.arange(len(found)), torch.tensor(model_logits), 0)
    return oracle.matches(torch.tensor(found), batch).tolist()


def test_what_rounding_decides_is_no_prediction():
    model = [[3.0, 1.0, 0.0]] * 5
    found = [[2.0, 1.0, 0.0], [2.0, 2.0, 0.0], [2.0, 2.0 - 1e-6, 0.0], [0.0, 0.0, -1.0], [1.0, 2.0, 0.0]]
    assert matched("bin_majority", model, found) == [True, False, False, True, False]  # of outputs that are all 0 the first is meant
    found = [[2.0, 1.0, 0.0], [2.0, 1e-7, 0.0], [2.0, 1e-2, 0.0], [2.0, 1.0, -1e-7], [2.0, 1.0, -1.0]]
    assert matched("D2", model, found) == [True, False, True, False, True]
