"""The bundled models: small, loadable by everybody, and as good as their records say."""

import json

import numpy as np
import pytest
import torch

from drasp.core.intervals import BAND_EDGES
from drasp.learn.evaluation import Examinee, by_the_model, draw
from drasp.model.bundled import ZOO, bundled_models
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.tasks.registry import get_task


def test_all_of_them_take_less_than_ten_megabytes():
    assert sum(file.stat().st_size for file in ZOO.rglob("*") if file.is_file()) < 10_000_000


@pytest.mark.parametrize("name", bundled_models())
def test_transformers_gives_the_same_logits(name):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(ZOO / name).eval()
    task = get_task(name)
    sample = task.sample(np.random.default_rng(0), 8, (4, 60))
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.from_numpy(sample.token_ids).long(), position_ids=torch.from_numpy(sample.position_ids).long()
        ).logits
    found = TorchTransformer(load_transformer(ZOO / name))(sample.token_ids, sample.position_ids)
    assert (found - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("name", bundled_models())
def test_the_recorded_accuracy_is_what_the_model_has(name):
    """On fresh sequences, within what chance allows for 100 of a band."""
    record = json.loads((ZOO / name / "task.json").read_text())
    assert record["task"] == name
    assert record["command"].startswith(f"drasp train {name} ")
    oracle = TorchTransformer(load_transformer(ZOO / name))
    examinee = Examinee(get_task(name), lambda t, p: oracle(t, p).numpy(), (0, 150))
    fresh = draw(examinee, 100 * len(BAND_EDGES), np.random.default_rng(7))
    for share, recorded in zip(fresh.accuracy(by_the_model).bands, record["accuracy"], strict=True):
        assert share.low - 0.03 <= recorded["accuracy"] <= share.high + 0.03
