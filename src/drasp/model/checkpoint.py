"""Loads a model folder into the plain description. Nothing is unpickled and no torch is imported."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from drasp.errors import DraspError, UnsupportedModelError
from drasp.model.loaders.format import Format, without_prefix
from drasp.model.loaders.gpt2 import GPT2, MIN_GPT, NANO_GPT
from drasp.model.loaders.gpt_neox import GPT_NEOX
from drasp.model.loaders.llama import LLAMA
from drasp.model.loaders.transformer_lens import TRANSFORMER_LENS
from drasp.model.parts.arrays import as_numbers
from drasp.model.transformer import Transformer

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
CONFIG = "config.json"
HUGGING_FACE = {"gpt2": GPT2, "gpt_neox": GPT_NEOX, "llama": LLAMA}
"""By `model_type`."""
_BUFFERS = tuple({end for kind in (*HUGGING_FACE.values(), NANO_GPT, MIN_GPT, TRANSFORMER_LENS) for end in kind.buffers})
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def load_transformer(folder: Path) -> Transformer:
    """The Transformer in a folder of `config.json` and `model.safetensors`, or the files that its index lists: a GPT-2, GPT-NeoX or Llama
    of Hugging Face, the state dict of a `HookedTransformer`, of nanoGPT or of minGPT.

    Raises:
        UnsupportedModelError: it is none that drasp can decompile; the message lists every reason.
        DraspError: a file is missing or damaged.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        kind = "a file" if os.path.isfile(folder) else "no such model folder"
        raise DraspError(f"{folder}: {kind}; expected a folder with {CONFIG} and {WEIGHTS}")
    _refuse_others(folder)
    config = read_json(folder / CONFIG)
    weights, sha256 = _read_weights(folder)
    return format_of(config, weights, str(folder)).load(config, weights, sha256, str(folder))


def _refuse_others(folder: Path) -> None:
    """Raises DraspError where a folder holds something else that training leaves: what changes another model, or models in folders."""
    if (folder / "adapter_config.json").exists():
        raise DraspError(
            f"{folder}: an adapter, which only changes another model; load both with PEFT, and save what merge_and_unload() returns"
        )
    inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    if inside and not (folder / CONFIG).exists():
        raise DraspError(f"{folder}: no model itself, but a folder of models; give one of them: {', '.join(inside)}")


def format_of(config: dict[str, Any], weights: dict[str, np.ndarray], source: str) -> Format:
    """The format of a model by its configuration.

    Raises:
        UnsupportedModelError: it is none that drasp knows.
    """
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in HUGGING_FACE:
        return HUGGING_FACE[kind]
    if "d_model" in config and "n_layers" in config:
        return TRANSFORMER_LENS
    if "block_size" in config:
        return MIN_GPT if any(without_prefix(name) == "tok_emb.weight" for name in weights) else NANO_GPT
    known = ", ".join(json.dumps(name) for name in HUGGING_FACE)
    raise UnsupportedModelError(
        f"{source}: cannot be decompiled: model_type is {json.dumps(kind)}, not one of {known}, and there are no settings of "
        "TransformerLens (d_model, n_layers, ...) or of nanoGPT (block_size, n_layer, ...)"
    )


def digest(weights: dict[str, np.ndarray]) -> str:
    """The SHA-256 of weights that are in no file."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(f"{name} {weights[name].shape}".encode())
        found.update(weights[name].tobytes())
    return found.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a byte order mark before it is read over."""
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DraspError(f"{path}: missing; a model folder holds {CONFIG} and {WEIGHTS}") from None
    except OSError as error:
        raise DraspError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DraspError(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise DraspError(f"{path}: expected a JSON object, found {type(config).__name__}")
    return config


def _read_weights(folder: Path) -> tuple[dict[str, np.ndarray], str]:
    """The tensors by name, and the SHA-256 of their file, or of their files one after the other."""
    names = [WEIGHTS] if (folder / WEIGHTS).exists() or not (folder / INDEX).exists() else _parts(folder)
    weights: dict[str, np.ndarray] = {}
    sha256 = hashlib.sha256()
    for name in names:
        data = _read_weight_file(folder, name)
        sha256.update(data)
        found = _decode(folder / name, data)
        if twice := weights.keys() & found.keys():
            raise DraspError(f"{folder / name}: tensor {min(twice)} is in another file too")
        weights |= found
    return weights, sha256.hexdigest()


def _parts(folder: Path) -> list[str]:
    """The files over which the index says that the weights are split."""
    files = read_json(folder / INDEX).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) and Path(name).name == name for name in files.values()):
        raise DraspError(f'{folder / INDEX}: expected the file in this folder of each tensor as "weight_map"')
    return sorted(set(files.values()))


def _read_weight_file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DraspError(f"{path}: cannot be read: {error.strerror}") from None
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    if pickles:
        raise DraspError(
            f"{folder / pickles[0]}: a pickle, which drasp never opens here because loading one can run code; `drasp convert "
            f"{pickles[0]} --config {CONFIG} --out DIR` makes a model folder of it"
        )
    raise DraspError(f"{path}: missing; a model folder holds {CONFIG} and {WEIGHTS}")


def _decode(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, in float64; those of integers and booleans, which are no weights, are left as bytes.

    It begins with the length of its header in eight bytes, which may be those that a pickle begins with, and then a brace.
    """
    if data[8:9] != b"{" and (data[:2] == b"PK" or data[:1] == b"\x80"):
        raise DraspError(f"{path}: a pickle, not a safetensors file; drasp never opens pickles because loading one can run code")
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise DraspError(f"{path}: not a safetensors file, or cut short: {error}") from None
    weights = {}
    for name, entry in entries:
        kind, raw = entry["dtype"], bytes(entry["data"])
        if kind in _FLOATS:
            values = np.frombuffer(raw, _FLOATS[kind])
        elif kind == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif name.endswith(_BUFFERS):
            continue
        else:
            raise UnsupportedModelError(f"{path}: tensor {name} has type {kind}; drasp reads F64, F32, F16 and BF16")
        weights[name] = as_numbers(values.reshape(entry["shape"]), name)
    return weights
