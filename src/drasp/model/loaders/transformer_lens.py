"""TransformerLens: the names of its `HookedTransformer`, which `TransformerBridge` of version 4 has too, with the settings of either."""

from collections.abc import Iterable

import numpy as np

from drasp.model.loaders.format import (
    ACTIVATIONS,
    Config,
    Format,
    Shapes,
    Weights,
    division_reasons,
    number_reasons,
    off_reasons,
    shared_heads,
    size_reasons,
)
from drasp.model.transformer import Block, FeedForward, LayerNorm, Norm, RMSNorm, Rotary, Transformer

_CHOICES: dict[str, tuple[object, ...]] = {
    "normalization_type": ("LN", "LNPre", "RMS", "RMSPre", None),
    "positional_embedding_type": ("standard", "rotary", "none"),
    "attention_dir": ("causal", "bidirectional"),
}
_OFF: dict[str, object] = {
    "attn_scores_soft_cap": -1.0,
    "clip_qkv": None,
    "num_experts": None,
    "output_logits_soft_cap": -1.0,
    "post_embedding_ln": False,
    "quantization_method": None,
    "use_NTK_by_parts_rope": False,
    "use_attention_sinks": False,
    "use_local_attn": False,
    "use_logn_attn": False,
    "use_normalization_before_and_after": False,
    "use_qk_norm": False,
}
"""Settings of other Transformers, with the value that says that they are off; a version that lacks one has not got it either."""


def _outputs(config: Config) -> int:
    """How many outputs there are: -1 stands for the vocabulary."""
    found = config.get("d_vocab_out")
    return int(config["d_vocab"] if found in (None, -1) else found)


def _shared(config: Config) -> int:
    return int(config.get("n_key_value_heads") or config["n_heads"])


def _reasons(config: Config) -> list[str]:
    reasons = size_reasons(config, ("n_layers", "d_model", "n_heads", "d_head", "n_ctx", "d_vocab"))
    for name, values in _CHOICES.items():
        if config.get(name) not in values:
            reasons.append(f"{name} is {config.get(name)!r}, not {' or '.join(map(repr, values))}")
    reasons += off_reasons(config, _OFF, "a model that drasp takes")
    if not config.get("attn_only", False):
        reasons += size_reasons(config, ("d_mlp",))
        if config.get("act_fn") not in ACTIVATIONS:
            reasons.append(f"act_fn is {config.get('act_fn')!r}, not one of {', '.join(ACTIVATIONS)}")
    if config.get("final_rms") and config.get("normalization_type") not in ("RMS", "RMSPre"):
        reasons.append("final_rms is True, though the other norms are not RMSNorms")
    if config.get("normalization_type") is not None:
        reasons += number_reasons(config, "eps", 1e-5)
    return reasons + division_reasons(config, "n_heads", "n_key_value_heads")


def _shapes(config: Config) -> Shapes:
    width, heads, head, tokens = config["d_model"], config["n_heads"], config["d_head"], config["d_vocab"]
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (tokens, width)}
    if config["positional_embedding_type"] == "standard":
        shapes["pos_embed.W_pos"] = (config["n_ctx"], width)
    norms = ["ln_final"]
    for layer in range(config["n_layers"]):
        prefix = f"blocks.{layer}."
        norms += [f"{prefix}ln1"] if config.get("attn_only", False) else [f"{prefix}ln1", f"{prefix}ln2"]
        shapes |= {f"{prefix}attn.W_Q": (heads, width, head), f"{prefix}attn.b_Q": (heads, head)}
        mark, shared = ("_", _shared(config)) if config.get("n_key_value_heads") else ("", heads)
        shapes |= {f"{prefix}attn.{mark}W_{part}": (shared, width, head) for part in "KV"}
        shapes |= {f"{prefix}attn.{mark}b_{part}": (shared, head) for part in "KV"}
        shapes |= {f"{prefix}attn.W_O": (heads, head, width), f"{prefix}attn.b_O": (width,)}
        if not config.get("attn_only", False):
            hidden = config["d_mlp"]
            shapes |= {f"{prefix}mlp.W_in": (width, hidden), f"{prefix}mlp.b_in": (hidden,)}
            shapes |= {f"{prefix}mlp.W_out": (hidden, width), f"{prefix}mlp.b_out": (width,)}
            if config.get("gated_mlp", False):
                shapes[f"{prefix}mlp.W_gate"] = (width, hidden)
    kind = config["normalization_type"]
    shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in {"LN": "wb", "RMS": "w"}.get(kind, "")}
    return shapes | {"unembed.W_U": (width, _outputs(config)), "unembed.b_U": (_outputs(config),)}


def _optional(config: Config) -> Iterable[str]:
    """Biases that are 0 are not written by all versions."""
    return [name for name in _shapes(config) if name.rsplit(".", 1)[1].startswith(("b_", "_b_"))]


def _build(config: Config, weights: Weights, sha256: str) -> Transformer:
    bidirectional, pad = config["attention_dir"] == "bidirectional", config.get("pad_token_id")
    rotary = None
    if config["positional_embedding_type"] == "rotary":
        turned = config.get("rotary_dim") or config["d_head"]
        rotary = Rotary(turned, float(config.get("rotary_base", 10000)), bool(config.get("rotary_adjacent_pairs", False)))
    return Transformer(
        token_embedding=weights["embed.W_E"],
        position_embedding=weights.get("pos_embed.W_pos", np.zeros(0)),
        unembedding=weights["unembed.W_U"],
        unembedding_bias=weights.get("unembed.b_U", np.zeros(0)),
        blocks=tuple(_block(config, weights, layer) for layer in range(config["n_layers"])),
        norm_final=_norm(config, weights, "ln_final"),
        rotary=rotary,
        positions=config["n_ctx"],
        attention="bidirectional" if bidirectional else "causal",
        padding=pad if bidirectional and type(pad) is int else None,
        sha256=sha256,
    )


def _scale(config: Config, layer: int) -> float:
    """What scores are multiplied by: `attn_scale` divides them, and -1 stands for the square root of a head's width."""
    if not config.get("use_attn_scale", True):
        scale = 1.0
    else:
        given = config.get("attn_scale", -1.0)
        scale = 1 / (config["d_head"] ** 0.5 if given is None or given <= 0 else given)
    return float(scale / (layer + 1 if config.get("scale_attn_by_inverse_layer_idx", False) else 1))


def _block(config: Config, weights: Weights, layer: int) -> Block:
    prefix, heads = f"blocks.{layer}.", config["n_heads"]
    mark = "_" if config.get("n_key_value_heads") else ""

    def bias(name: str) -> np.ndarray:
        return weights.get(f"{prefix}{name}", np.zeros(0))

    def shared(name: str) -> np.ndarray:
        found = bias(f"attn.{mark}{name}")
        return shared_heads(found, heads) if len(found) else found

    return Block(
        w_query=weights[f"{prefix}attn.W_Q"],
        w_key=shared("W_K"),
        w_value=shared("W_V"),
        w_head_out=weights[f"{prefix}attn.W_O"],
        b_query=bias("attn.b_Q"),
        b_key=shared("b_K"),
        b_value=shared("b_V"),
        b_head_out=bias("attn.b_O"),
        norm_attention=_norm(config, weights, f"{prefix}ln1"),
        norm_mlp=_norm(config, weights, f"{prefix}ln2"),
        mlp=None if config.get("attn_only", False) else _mlp(config, weights, f"{prefix}mlp."),
        order="parallel" if config.get("parallel_attn_mlp", False) else "pre",
        score_scale=_scale(config, layer),
    )


def _mlp(config: Config, weights: Weights, prefix: str) -> FeedForward:
    """TransformerLens adds the bias of a gated MLP's units behind the gate: there it is one of what is put out."""
    w_in, w_out = weights[f"{prefix}W_in"], weights[f"{prefix}W_out"]
    b_in = weights.get(f"{prefix}b_in", np.zeros(w_in.shape[1]))
    b_out = weights.get(f"{prefix}b_out", np.zeros(w_out.shape[1]))
    act = ACTIVATIONS[config["act_fn"]]
    if not config.get("gated_mlp", False):
        return FeedForward(w_in, w_out, b_in, b_out, act)
    return FeedForward(w_in, w_out, b_out=b_out + b_in @ w_out, activation=act, w_gate=weights[f"{prefix}W_gate"])


def _norm(config: Config, weights: Weights, name: str) -> Norm:
    """A norm; a folded one ("LNPre", "RMSPre") has no gain and no shift of its own."""
    kinds: dict[str | None, type[Norm]] = {"LN": LayerNorm, "LNPre": LayerNorm, "RMS": RMSNorm, "RMSPre": RMSNorm}
    kind = config["normalization_type"]
    if kind is None:
        return Norm()
    return kinds[kind](weights.get(f"{name}.w", np.zeros(0)), weights.get(f"{name}.b", np.zeros(0)), float(config.get("eps", 1e-5)))


TRANSFORMER_LENS = Format(
    "a HookedTransformer of these settings",
    (),
    _reasons,
    _shapes,
    _optional,
    _build,
    "n_layers",
    buffers=(".attn.mask", ".attn.IGNORE", ".attn.rotary_sin", ".attn.rotary_cos"),
)
