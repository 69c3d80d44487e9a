"""Takes a GPT-2-style `HookedTransformer` of TransformerLens, its LayerNorms folded or not. Imports neither TransformerLens nor torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.model.checkpoint import digest
from drasp.model.transformer import Block, LayerNorm, Transformer

_TANH_GELU = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")
_EXPECTED: Mapping[str, tuple[object, ...]] = {
    "normalization_type": ("LN", "LNPre"),
    "positional_embedding_type": ("standard",),
    "attention_dir": ("causal",),
    "act_fn": _TANH_GELU,
}
_OFF: Mapping[str, object] = {
    "attn_only": False,
    "attn_scores_soft_cap": -1.0,
    "clip_qkv": None,
    "final_rms": False,
    "gated_mlp": False,
    "n_key_value_heads": None,
    "num_experts": None,
    "output_logits_soft_cap": -1.0,
    "parallel_attn_mlp": False,
    "post_embedding_ln": False,
    "quantization_method": None,
    "use_attention_sinks": False,
    "use_local_attn": False,
    "use_logn_attn": False,
    "use_normalization_before_and_after": False,
    "use_qk_norm": False,
}
"""Settings that a GPT-2 has not, with the value that says so; a version of TransformerLens that lacks one has not got it either."""


def from_hooked(model: Any) -> Transformer:
    """The Transformer in a `HookedTransformer` (any object with its `cfg` and `state_dict()`).

    Raises:
        UnsupportedModelError: it is no GPT-2 that drasp can decompile; the message lists every reason.
    """
    config = model.cfg
    buffers = (".attn.mask", ".attn.IGNORE")
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(buffers)}
    weights = {name: np.array(tensor.detach().cpu().double().numpy()) for name, tensor in state.items()}
    reasons = _config_reasons(config) or _weight_reasons(config, weights)
    if reasons:
        raise UnsupportedModelError(f"{type(model).__name__}: cannot be decompiled: {'; '.join(reasons)}")
    scale = 1 / config.attn_scale if config.use_attn_scale else 1.0
    by_layer = getattr(config, "scale_attn_by_inverse_layer_idx", False)
    norm_final, unembedding = _output(config, weights)
    return Transformer(
        token_embedding=weights["embed.W_E"],
        position_embedding=weights["pos_embed.W_pos"],
        unembedding=unembedding,
        blocks=tuple(_block(config, weights, f"blocks.{layer}.") for layer in range(config.n_layers)),
        norm_final=norm_final,
        score_scale=tuple(scale / (layer + 1 if by_layer else 1) for layer in range(config.n_layers)),
        sha256=digest(weights),
    )


def _block(config: Any, weights: Mapping[str, np.ndarray], prefix: str) -> Block:
    return Block(
        norm_attention=_norm(config, weights, f"{prefix}ln1"),
        norm_mlp=_norm(config, weights, f"{prefix}ln2"),
        w_query=weights[f"{prefix}attn.W_Q"],
        w_key=weights[f"{prefix}attn.W_K"],
        w_value=weights[f"{prefix}attn.W_V"],
        b_query=weights[f"{prefix}attn.b_Q"],
        b_key=weights[f"{prefix}attn.b_K"],
        b_value=weights[f"{prefix}attn.b_V"],
        w_head_out=weights[f"{prefix}attn.W_O"],
        b_head_out=weights[f"{prefix}attn.b_O"],
        w_in=weights[f"{prefix}mlp.W_in"],
        b_in=weights[f"{prefix}mlp.b_in"],
        w_out=weights[f"{prefix}mlp.W_out"],
        b_out=weights[f"{prefix}mlp.b_out"],
    )


def _norm(config: Any, weights: Mapping[str, np.ndarray], name: str) -> LayerNorm:
    """A LayerNorm; a folded one ("LNPre") has no gain and no shift of its own."""
    gain, shift = weights.get(f"{name}.w", np.ones(config.d_model)), weights.get(f"{name}.b", np.zeros(config.d_model))
    return LayerNorm(gain, shift, float(config.eps))


def _output(config: Any, weights: Mapping[str, np.ndarray]) -> tuple[LayerNorm, np.ndarray]:
    """The last LayerNorm and the unembedding (D, V), the bias b of the unembedding taken into them.

    A normalised vector z sums to 0, so that z (W + 1 v) = z W for any row v; and with a shift of 1 in every direction, 1 (W + 1 v) = b
    where v = (b - 1 W) / D.
    """
    norm, unembedding, bias = _norm(config, weights, "ln_final"), weights["unembed.W_U"], weights["unembed.b_U"]
    if not bias.any():
        return norm, unembedding
    bias = bias + norm.shift @ unembedding
    unembedding = norm.gain[:, None] * unembedding
    row = (bias - unembedding.sum(axis=0)) / config.d_model
    return LayerNorm(np.ones(config.d_model), np.ones(config.d_model), norm.eps), unembedding + row


def _config_reasons(config: Any) -> list[str]:
    reasons = []
    for name, values in _EXPECTED.items():
        value = getattr(config, name, None)
        if value not in values:
            reasons.append(f"{name} is {value!r}, not {' or '.join(map(repr, values))}")
    for name, off in _OFF.items():
        value = getattr(config, name, off)
        if value != off:
            reasons.append(f"{name} is {value!r}, which a GPT-2 has not")
    if config.d_vocab_out != config.d_vocab:
        reasons.append(f"d_vocab_out {config.d_vocab_out} is not d_vocab {config.d_vocab}")
    return reasons


def _weight_reasons(config: Any, weights: Mapping[str, np.ndarray]) -> list[str]:
    """Which tensors are missing, unknown, of the wrong shape or not finite."""
    shapes = _shapes(config)
    reasons = [f"tensor {name} is missing" for name in shapes if name not in weights]
    for name, array in weights.items():
        if name not in shapes:
            reasons.append(f"tensor {name} is no part of a GPT-2")
        elif array.shape != shapes[name]:
            reasons.append(f"tensor {name} has shape {array.shape}, expected {shapes[name]}")
        elif not np.isfinite(array).all():
            reasons.append(f"tensor {name} holds NaN or infinite numbers")
    return reasons


def _shapes(config: Any) -> dict[str, tuple[int, ...]]:
    width, heads, head, hidden, vocabulary = config.d_model, config.n_heads, config.d_head, config.d_mlp, config.d_vocab
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (vocabulary, width), "pos_embed.W_pos": (config.n_ctx, width)}
    norms = ["ln_final"]
    for layer in range(config.n_layers):
        prefix = f"blocks.{layer}."
        norms += [f"{prefix}ln1", f"{prefix}ln2"]
        shapes |= {f"{prefix}attn.W_{part}": (heads, width, head) for part in "QKV"}
        shapes |= {f"{prefix}attn.b_{part}": (heads, head) for part in "QKV"}
        shapes |= {f"{prefix}attn.W_O": (heads, head, width), f"{prefix}attn.b_O": (width,)}
        shapes |= {f"{prefix}mlp.W_in": (width, hidden), f"{prefix}mlp.b_in": (hidden,)}
        shapes |= {f"{prefix}mlp.W_out": (hidden, width), f"{prefix}mlp.b_out": (width,)}
    if config.normalization_type == "LN":
        shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in "wb"}
    return shapes | {"unembed.W_U": (width, vocabulary), "unembed.b_U": (vocabulary,)}
