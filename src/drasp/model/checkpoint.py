"""Loads a Hugging Face GPT-2 into the plain description, from a folder or from memory. Nothing is unpickled and no torch is imported."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from drasp.errors import DraspError, UnsupportedModelError
from drasp.model.transformer import Block, LayerNorm, Transformer

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
# transformers' names for x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
TANH_GELU = ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh")
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def load_transformer(folder: Path) -> Transformer:
    """The Transformer in a Hugging Face GPT-2 folder: `config.json` and `model.safetensors`.

    Raises:
        UnsupportedModelError: it is no GPT-2 that drasp can decompile; the message lists every reason.
        DraspError: a file is missing or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DraspError(f"{folder}: no such model folder; expected a folder with {CONFIG} and {WEIGHTS}")
    config = _read_config(folder / CONFIG)
    data = _read_weight_file(folder)
    weights = _decode(folder / WEIGHTS, data)
    return _build(config, weights, hashlib.sha256(data).hexdigest(), str(folder))


def from_hf(model: Any) -> Transformer:
    """The Transformer in a `GPT2LMHeadModel` (any object with its `config.to_dict()` and `state_dict()`).

    Raises:
        UnsupportedModelError: it is no GPT-2 that drasp can decompile; the message lists every reason.
    """
    weights = {name: np.array(tensor.detach().cpu().double().numpy()) for name, tensor in model.state_dict().items()}
    return _build(model.config.to_dict(), weights, digest(weights), type(model).__name__)


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of weights that are in no file."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(f"{name} {weights[name].shape}".encode())
        found.update(weights[name].tobytes())
    return found.hexdigest()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DraspError(f"{path}: missing; a model folder holds {CONFIG} and {WEIGHTS}") from None
    except OSError as error:
        raise DraspError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DraspError(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise DraspError(f"{path}: expected a JSON object, found {type(config).__name__}")
    return config


def _read_weight_file(folder: Path) -> bytes:
    path = folder / WEIGHTS
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DraspError(f"{path}: cannot be read: {error.strerror}") from None
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    if pickles:
        raise DraspError(
            f"{folder / pickles[0]}: a pickle, which drasp never opens because loading one can run code; "
            f"load it with transformers and save it again with save_pretrained(folder), which writes {WEIGHTS}"
        )
    if (folder / f"{WEIGHTS}.index.json").exists():
        raise DraspError(f"{folder}: the weights are split over several files; save the model again as one {WEIGHTS}")
    raise DraspError(f"{path}: missing; a model folder holds {CONFIG} and {WEIGHTS}")


def _decode(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, in float64; those of integers and booleans, which are no weights, are left as bytes."""
    if data[:2] == b"PK" or data[:1] == b"\x80":
        raise DraspError(f"{path}: a pickle, not a safetensors file; drasp never opens pickles because loading one can run code")
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise DraspError(f"{path}: not a safetensors file, or cut short: {error}") from None
    weights = {}
    for name, entry in entries:
        kind, raw = entry["dtype"], bytes(entry["data"])
        if kind in _FLOATS:
            values = np.frombuffer(raw, _FLOATS[kind]).astype(np.float64)
        elif kind == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        elif _is_buffer(name):
            continue
        else:
            raise UnsupportedModelError(f"{path}: tensor {name} has type {kind}; drasp reads F64, F32, F16 and BF16")
        weights[name] = values.reshape(entry["shape"])
    return weights


def _is_buffer(name: str) -> bool:
    """The causal mask, which older checkpoints store beside the weights."""
    return name.endswith((".attn.bias", ".attn.masked_bias"))


def _build(config: Mapping[str, Any], raw: Mapping[str, np.ndarray], sha256: str, source: str) -> Transformer:
    weights = {name.removeprefix("transformer."): array for name, array in raw.items() if not _is_buffer(name)}
    reasons = _config_reasons(config) or _weight_reasons(config, weights)
    if reasons:
        raise UnsupportedModelError(f"{source}: cannot be decompiled: {'; '.join(reasons)}")
    layers, heads, width = config["n_layer"], config["n_head"], config["n_embd"]
    eps = float(config.get("layer_norm_epsilon", 1e-5))
    scale = 1 / math.sqrt(width // heads) if config.get("scale_attn_weights", True) else 1.0
    by_layer = config.get("scale_attn_by_inverse_layer_idx", False)
    return Transformer(
        token_embedding=weights["wte.weight"],
        position_embedding=weights["wpe.weight"],
        unembedding=weights.get("lm_head.weight", weights["wte.weight"]).T,
        blocks=tuple(_block(weights, f"h.{layer}.", heads, eps) for layer in range(layers)),
        norm_final=LayerNorm(weights["ln_f.weight"], weights["ln_f.bias"], eps),
        score_scale=tuple(scale / (layer + 1 if by_layer else 1) for layer in range(layers)),
        sha256=sha256,
    )


def _block(weights: Mapping[str, np.ndarray], prefix: str, heads: int, eps: float) -> Block:
    def norm(name: str) -> LayerNorm:
        return LayerNorm(weights[f"{prefix}{name}.weight"], weights[f"{prefix}{name}.bias"], eps)

    def per_head(array: np.ndarray) -> np.ndarray:
        """(..., H * Dh) -> (H, ..., Dh)."""
        return np.ascontiguousarray(np.moveaxis(array.reshape(*array.shape[:-1], heads, -1), -2, 0))

    query, key, value = (per_head(part) for part in np.split(weights[f"{prefix}attn.c_attn.weight"], 3, axis=-1))
    query_bias, key_bias, value_bias = (per_head(part) for part in np.split(weights[f"{prefix}attn.c_attn.bias"], 3, axis=-1))
    out = weights[f"{prefix}attn.c_proj.weight"]
    return Block(
        norm_attention=norm("ln_1"),
        norm_mlp=norm("ln_2"),
        w_query=query,
        w_key=key,
        w_value=value,
        b_query=query_bias,
        b_key=key_bias,
        b_value=value_bias,
        w_head_out=out.reshape(heads, -1, out.shape[1]),
        b_head_out=weights[f"{prefix}attn.c_proj.bias"],
        w_in=weights[f"{prefix}mlp.c_fc.weight"],
        b_in=weights[f"{prefix}mlp.c_fc.bias"],
        w_out=weights[f"{prefix}mlp.c_proj.weight"],
        b_out=weights[f"{prefix}mlp.c_proj.bias"],
    )


def _config_reasons(config: Mapping[str, Any]) -> list[str]:
    """Why a model of this configuration is not supported; without any the sizes in it can be relied on."""
    reasons = []
    if config.get("model_type") != "gpt2":
        reasons.append(f'model_type is {json.dumps(config.get("model_type"))}, not "gpt2"')
    sizes = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    wrong = [name for name in sizes if type(config.get(name)) is not int or config[name] < 1]
    reasons += [f"{name} is {json.dumps(config.get(name))}, not a positive integer" for name in wrong]
    if not {"n_embd", "n_head"} & set(wrong) and config["n_embd"] % config["n_head"]:
        reasons.append(f"n_embd {config['n_embd']} is not divisible by n_head {config['n_head']}")
    inner = config.get("n_inner")
    if inner is not None and (type(inner) is not int or inner < 1):
        reasons.append(f"n_inner is {json.dumps(inner)}, not a positive integer or null")
    eps = config.get("layer_norm_epsilon", 1e-5)
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps < math.inf:
        reasons.append(f"layer_norm_epsilon is {json.dumps(eps)}, not a positive number")
    activation = config.get("activation_function", "gelu_new")
    if activation not in TANH_GELU:
        reasons.append(f"activation_function is {json.dumps(activation)}, not one of {', '.join(TANH_GELU)}")
    if config.get("add_cross_attention", False):
        reasons.append("add_cross_attention is true; only decoders without cross-attention are supported")
    return reasons


def _weight_reasons(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> list[str]:
    """Which tensors are missing, unknown, of the wrong shape or not finite."""
    shapes = expected_shapes(config)
    optional = () if config.get("tie_word_embeddings", True) is False else ("lm_head.weight",)
    reasons = [f"tensor {name} is missing" for name in shapes if name not in weights and name not in optional]
    reasons += [f"tensor {name} is no part of a GPT-2" for name in sorted(weights) if name not in shapes]
    for name, shape in shapes.items():
        if name not in weights:
            continue
        if weights[name].shape != shape:
            reasons.append(f"tensor {name} has shape {weights[name].shape}, expected {shape}")
        elif not np.isfinite(weights[name]).all():
            reasons.append(f"tensor {name} holds NaN or infinite numbers")
    return reasons


def expected_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a GPT-2 of this configuration, by name without the prefix `transformer.`."""
    width, hidden = config["n_embd"], config.get("n_inner") or 4 * config["n_embd"]
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (config["vocab_size"], width), "wpe.weight": (config["n_positions"], width)}
    block = {
        "ln_1": (width,),
        "attn.c_attn": (width, 3 * width),
        "attn.c_proj": (width, width),
        "ln_2": (width,),
        "mlp.c_fc": (width, hidden),
        "mlp.c_proj": (hidden, width),
    }
    for layer in range(config["n_layer"]):
        for name, shape in block.items():
            shapes[f"h.{layer}.{name}.weight"] = shape
            shapes[f"h.{layer}.{name}.bias"] = shape[-1:]
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,), "lm_head.weight": (config["vocab_size"], width)}
    return shapes
