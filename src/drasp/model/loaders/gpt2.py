"""GPT-2 of Hugging Face; and the same with the names and shapes of nanoGPT and of minGPT, whose matrices are transposed."""

import json
import math
from dataclasses import replace

import numpy as np

from drasp.model.loaders.format import (
    ACTIVATIONS,
    Config,
    Format,
    Shapes,
    Weights,
    activation_reasons,
    division_reasons,
    number_reasons,
    per_head,
    size_reasons,
    with_bias,
)
from drasp.model.transformer import Block, FeedForward, LayerNorm, Transformer

MASKS = (".attn.bias", ".attn.masked_bias")
"""The causal mask, which older checkpoints store beside the weights."""


def _reasons(config: Config) -> list[str]:
    reasons = size_reasons(config, ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"))
    reasons += division_reasons(config, "n_embd", "n_head")
    inner = config.get("n_inner")
    if inner is not None and (type(inner) is not int or inner < 1):
        reasons.append(f"n_inner is {json.dumps(inner)}, not a positive integer or null")
    reasons += number_reasons(config, "layer_norm_epsilon", 1e-5)
    reasons += activation_reasons(config, "activation_function", "gelu_new")
    if config.get("add_cross_attention", False):
        reasons.append("add_cross_attention is true; only decoders without cross-attention are supported")
    return reasons


def expected_shapes(config: Config) -> Shapes:
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
            shapes |= with_bias(f"h.{layer}.{name}", shape, shape[-1])
    return shapes | with_bias("ln_f", (width,), width) | {"lm_head.weight": (config["vocab_size"], width)}


def _tied(config: Config) -> tuple[str, str] | None:
    return None if config.get("tie_word_embeddings", True) is False else ("wte.weight", "lm_head.weight")


def _build(config: Config, weights: Weights, sha256: str) -> Transformer:
    scale = 1 / math.sqrt(config["n_embd"] // config["n_head"]) if config.get("scale_attn_weights", True) else 1.0
    by_layer = config.get("scale_attn_by_inverse_layer_idx", False)
    blocks = (_block(config, weights, layer) for layer in range(config["n_layer"]))
    return Transformer(
        token_embedding=weights["wte.weight"],
        position_embedding=weights["wpe.weight"],
        unembedding=weights["lm_head.weight"].T,
        blocks=tuple(replace(block, score_scale=scale / (layer + 1 if by_layer else 1)) for layer, block in enumerate(blocks)),
        norm_final=_norm(config, weights, "ln_f"),
        sha256=sha256,
    )


def _norm(config: Config, weights: Weights, name: str) -> LayerNorm:
    return LayerNorm(weights[f"{name}.weight"], weights.get(f"{name}.bias", np.zeros(0)), float(config.get("layer_norm_epsilon", 1e-5)))


def _block(config: Config, weights: Weights, layer: int) -> Block:
    prefix, heads = f"h.{layer}.", config["n_head"]

    def bias(name: str) -> np.ndarray:
        return weights.get(f"{prefix}{name}.bias", np.zeros(weights[f"{prefix}{name}.weight"].shape[1]))

    query, key, value = (per_head(part, heads) for part in np.split(weights[f"{prefix}attn.c_attn.weight"], 3, axis=-1))
    query_bias, key_bias, value_bias = (per_head(part, heads) for part in np.split(bias("attn.c_attn"), 3, axis=-1))
    out = weights[f"{prefix}attn.c_proj.weight"]
    return Block(
        norm_attention=_norm(config, weights, f"{prefix}ln_1"),
        norm_mlp=_norm(config, weights, f"{prefix}ln_2"),
        w_query=query,
        w_key=key,
        w_value=value,
        b_query=query_bias,
        b_key=key_bias,
        b_value=value_bias,
        w_head_out=out.reshape(heads, -1, out.shape[1]),
        b_head_out=bias("attn.c_proj"),
        mlp=FeedForward(
            weights[f"{prefix}mlp.c_fc.weight"],
            weights[f"{prefix}mlp.c_proj.weight"],
            bias("mlp.c_fc"),
            bias("mlp.c_proj"),
            ACTIVATIONS[config.get("activation_function", "gelu_new")],
        ),
    )


GPT2 = Format(
    "a GPT-2",
    ("GPT2LMHeadModel", "GPT2BCELMHeadModel"),  # the latter, of Huang et al., has another loss and the same forward pass
    _reasons,
    expected_shapes,
    lambda config: (),
    _build,
    "n_layer",
    _tied,
    MASKS,
    ("transformer.",),
    renamed={
        "n_embd": "hidden_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "n_positions": "max_position_embeddings",
    },
)


def _as_gpt2(config: Config, activation: str = "gelu") -> Config:
    """The configuration of nanoGPT or minGPT, in GPT-2's words."""
    given = config.get("activation_function", activation)
    return {**config, "n_positions": config.get("block_size"), "activation_function": given, "n_inner": None}


def _nano(config: Config) -> Config:
    """Of nanoGPT, whose settings have `bias`, or of minGPT as it is since 2022, which has the same names."""
    return _as_gpt2(config, "gelu" if "bias" in config else "gelu_new")


_TURNED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
"""The matrices that nanoGPT has the other way round."""


def _nano_shapes(config: Config) -> Shapes:
    return {name: shape[::-1] if name.endswith(_TURNED) else shape for name, shape in expected_shapes(_nano(config)).items()}


def _nano_build(config: Config, weights: Weights, sha256: str) -> Transformer:
    turned = {name: tensor.T if name.endswith(_TURNED) else tensor for name, tensor in weights.items()}
    return _build(_nano(config), turned, sha256)


def _biases(config: Config) -> list[str]:
    """All of them may be missing: nanoGPT has a setting for that."""
    return [name for name in _nano_shapes(config) if name.endswith(".bias")]


def _nano_tied(config: Config) -> tuple[str, str] | None:
    return ("wte.weight", "lm_head.weight") if config.get("tie_word_embeddings", "bias" in config) else None


NANO_GPT = Format(
    "a nanoGPT",
    ("GPT",),
    lambda config: _reasons(_nano(config)),
    _nano_shapes,
    _biases,
    _nano_build,
    "n_layer",
    _nano_tied,
    MASKS,
    ("transformer.",),
)
"""Its activation is `nn.GELU()`, as in nanoGPT since 2023, or minGPT's own, unless `activation_function` says otherwise."""

_MIN_NAMES = {
    "ln1": "ln_1",
    "ln2": "ln_2",
    "mlp.0": "mlp.c_fc",
    "mlp.2": "mlp.c_proj",
    "attn.proj": "attn.c_proj",
}
"""minGPT's names before 2022, and GPT-2's."""


def _min_shapes(config: Config) -> Shapes:
    width = config["n_embd"]
    shapes: dict[str, tuple[int, ...]] = {
        "tok_emb.weight": (config["vocab_size"], width),
        "pos_emb": (1, config["block_size"], width),
        "head.weight": (config["vocab_size"], width),
    } | with_bias("ln_f", (width,), width)
    matrices = {f"attn.{part}": (width, width) for part in ("key", "query", "value", "proj")}
    matrices |= {"mlp.0": (4 * width, width), "mlp.2": (width, 4 * width)}
    for layer in range(config["n_layer"]):
        prefix = f"blocks.{layer}."
        for norm in ("ln1", "ln2"):
            shapes |= with_bias(f"{prefix}{norm}", (width,), width)
        for name, shape in matrices.items():
            shapes |= with_bias(f"{prefix}{name}", shape, shape[0])
    return shapes


def _min_build(config: Config, weights: Weights, sha256: str) -> Transformer:
    found = {"wte.weight": weights["tok_emb.weight"], "wpe.weight": weights["pos_emb"][0], "lm_head.weight": weights["head.weight"]}
    found |= {f"ln_f.{part}": weights[f"ln_f.{part}"] for part in ("weight", "bias")}
    for layer in range(config["n_layer"]):
        old, new = f"blocks.{layer}.", f"h.{layer}."
        for part in ("weight", "bias"):
            for name in ("ln1", "ln2", "mlp.0", "mlp.2", "attn.proj"):
                found[f"{new}{_MIN_NAMES[name]}.{part}"] = weights[f"{old}{name}.{part}"].T
            mixed = [weights[f"{old}attn.{name}.{part}"] for name in ("query", "key", "value")]
            found[f"{new}attn.c_attn.{part}"] = np.concatenate(mixed).T
    return _build(_as_gpt2(config), found, sha256)


MIN_GPT = Format(
    "a minGPT",
    ("GPT",),
    lambda config: _reasons(_as_gpt2(config)),
    _min_shapes,
    lambda config: (),
    _min_build,
    "n_layer",
    buffers=(".attn.mask",),
)
"""As minGPT was before 2022; its activation is `nn.GELU()` unless `activation_function` says otherwise."""
