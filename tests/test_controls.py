"""The control of the benchmarks: weights shuffled within each matrix."""

import importlib.util
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "controls.py"


def test_a_shuffled_model_has_the_same_entries_elsewhere_and_can_be_loaded(tmp_path):
    spec = importlib.util.spec_from_file_location("controls", SCRIPT)
    controls = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(controls)
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        controls.shuffle_model(ZOO / "D2", tmp_path / name, seed)
    before, after = load_file(ZOO / "D2" / "model.safetensors"), load_file(tmp_path / "first" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weights in before.items():
        assert np.array_equal(np.sort(weights.ravel()), np.sort(after[name].ravel()))
        assert np.array_equal(weights, after[name]) == (weights.ndim == 1)
    first, again, other = (load_transformer(tmp_path / name).sha256 for name in ("first", "again", "other"))
    assert first == again != other
