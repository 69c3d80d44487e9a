"""Model folders, damaged: refused in a line, or a Transformer that runs."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.model.told import told_by
from drasp.model.transformer import Transformer
from mutate import VALUES, as_json, some_bytes, some_file, some_json
from oracle import accepted
from surface import corpus, files_in, folder_of, fuzzed

VALID = files_in(ZOO / "D2")
CONFIG = json.loads(VALID["config.json"])
TENSORS = load(VALID["model.safetensors"])
OTHERS = ({"model_type": "llama"}, {"model_type": "gpt_neox"}, {"d_model": 16, "n_layers": 1}, {"block_size": 152, "model_type": None})
"""By which a configuration is of another format."""


def check_model(folder: Path) -> None:
    model = accepted(lambda: load_transformer(folder), folder)
    if model is None:
        return
    accepted(lambda: told_by(folder, model.vocabulary_size), folder)
    accepted(lambda: _runs(model), folder)


def _runs(model: Transformer) -> None:
    ids = np.zeros((1, min(3, model.positions)), dtype=np.int64)
    found = TorchTransformer(model)(ids, ids + np.arange(ids.shape[1]))
    assert found.shape == (*ids.shape, model.unembedding.shape[1])


@corpus("model")
def test_models_that_were_found(found: Path) -> None:
    with folder_of(VALID | files_in(found)) as folder:
        check_model(folder)


@fuzzed(40)
@given(st.data())
def test_any_model_folder(data: st.DataObject) -> None:
    files = dict(VALID)
    damage = data.draw(st.sampled_from(("config", "config", "text", "header", "bytes", "tensors", "task")))
    if damage == "config":
        config = CONFIG | data.draw(st.sampled_from(({}, {}, *OTHERS)))
        files["config.json"] = as_json(_setting(data, some_json(data.draw, config))).encode()
    elif damage == "text":
        files["config.json"] = some_file(data.draw, VALID["config.json"].decode())
    elif damage == "header":
        files["model.safetensors"] = _header(data)
    elif damage == "bytes":
        files["model.safetensors"] = some_bytes(data.draw, VALID["model.safetensors"])
    elif damage == "tensors":
        files["model.safetensors"] = save(_tensors(data))
    else:
        files["task.json"] = as_json(some_json(data.draw, json.loads(VALID["task.json"]))).encode()
    with folder_of(files) as folder:
        check_model(folder)


def _setting(data: st.DataObject, config: object) -> object:
    """With a setting that the file does not have."""
    names = ("n_inner", "hidden_size", "auto_map", "scale_attn_weights", "rope_theta", "add_cross_attention", "bias", "normalization_type")
    if not isinstance(config, dict) or data.draw(st.booleans()):
        return config
    return config | {data.draw(st.sampled_from(names)): data.draw(st.sampled_from(VALUES))}


def _header(data: st.DataObject) -> bytes:
    """The weights below a damaged header."""
    valid = VALID["model.safetensors"]
    end = 8 + int.from_bytes(valid[:8], "little")
    header = as_json(some_json(data.draw, json.loads(valid[8:end]))).encode()
    return len(header).to_bytes(8, "little") + header + valid[end:]


def _tensors(data: st.DataObject) -> dict[str, np.ndarray]:
    """One tensor goes, or changes its name, type, shape or numbers."""
    tensors = dict(TENSORS)
    name = data.draw(st.sampled_from(sorted(tensors)))
    array = tensors.pop(name)
    kind = data.draw(st.sampled_from(("drop", "name", "type", "shape", "number")))
    if kind == "name":
        tensors[data.draw(st.sampled_from(("\x1b", "a\nb", "", "x" * 400, f"module.{name}", f"{name}x")))] = array
    elif kind == "type":
        tensors[name] = array.astype(data.draw(st.sampled_from((np.float16, np.float64, np.int64, np.bool_, np.uint8))))
    elif kind == "shape":
        tensors[name] = np.zeros(data.draw(st.sampled_from(((), (0,), (1,), (0, 3), (1, 1, 1), array.shape[::-1]))), np.float32)
    elif kind == "number":
        with np.errstate(all="ignore"):
            tensors[name] = array * np.float32(data.draw(st.sampled_from((0, np.nan, np.inf, 1e38))))
    return tensors
