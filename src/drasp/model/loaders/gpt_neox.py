"""GPT-NeoX of Hugging Face: rotary positions, attention and MLP side by side."""

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
    size_reasons,
    with_bias,
)
from drasp.model.loaders.rotary import rotary_of, rotary_reasons
from drasp.model.transformer import Block, FeedForward, LayerNorm, Transformer


def _reasons(config: Config) -> list[str]:
    sizes = ("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    reasons = size_reasons(config, sizes) + division_reasons(config, "hidden_size", "num_attention_heads")
    reasons += number_reasons(config, "layer_norm_eps", 1e-5) + activation_reasons(config, "hidden_act", "gelu")
    return reasons or rotary_reasons(config, config["hidden_size"] // config["num_attention_heads"], 0.25)


def _shapes(config: Config) -> Shapes:
    width, hidden, tokens = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {"embed_in.weight": (tokens, width), "embed_out.weight": (tokens, width)}
    shapes |= with_bias("final_layer_norm", (width,), width)
    matrices = {
        "attention.query_key_value": (3 * width, width),
        "attention.dense": (width, width),
        "mlp.dense_h_to_4h": (hidden, width),
        "mlp.dense_4h_to_h": (width, hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes |= with_bias(f"{prefix}{name}", (width,), width)
        for name, shape in matrices.items():
            shapes |= with_bias(f"{prefix}{name}", shape, shape[0])
    if config.get("attention_bias", True) is False:
        shapes = {name: shape for name, shape in shapes.items() if ".attention." not in name or not name.endswith(".bias")}
    return shapes


def _tied(config: Config) -> tuple[str, str] | None:
    return ("embed_in.weight", "embed_out.weight") if config.get("tie_word_embeddings", False) else None


def _build(config: Config, weights: Weights, sha256: str) -> Transformer:
    head = config["hidden_size"] // config["num_attention_heads"]
    return Transformer(
        token_embedding=weights["embed_in.weight"],
        unembedding=weights["embed_out.weight"].T,
        blocks=tuple(_block(config, weights, f"layers.{layer}.") for layer in range(config["num_hidden_layers"])),
        norm_final=_norm(config, weights, "final_layer_norm"),
        rotary=rotary_of(config, head, 0.25),
        positions=config["max_position_embeddings"],
        sha256=sha256,
    )


def _norm(config: Config, weights: Weights, name: str) -> LayerNorm:
    return LayerNorm(weights[f"{name}.weight"], weights[f"{name}.bias"], float(config.get("layer_norm_eps", 1e-5)))


def _block(config: Config, weights: Weights, prefix: str) -> Block:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    mixed = weights[f"{prefix}attention.query_key_value.weight"].reshape(heads, 3, -1, width).transpose(1, 0, 3, 2)
    bias = weights.get(f"{prefix}attention.query_key_value.bias", np.zeros(3 * width))
    query, key, value = mixed
    b_query, b_key, b_value = bias.reshape(heads, 3, -1).transpose(1, 0, 2)
    return Block(
        query,
        key,
        value,
        weights[f"{prefix}attention.dense.weight"].T.reshape(heads, -1, width),
        b_query,
        b_key,
        b_value,
        weights.get(f"{prefix}attention.dense.bias", np.zeros(0)),
        norm_attention=_norm(config, weights, f"{prefix}input_layernorm"),
        norm_mlp=_norm(config, weights, f"{prefix}post_attention_layernorm"),
        mlp=FeedForward(
            weights[f"{prefix}mlp.dense_h_to_4h.weight"].T,
            weights[f"{prefix}mlp.dense_4h_to_h.weight"].T,
            weights[f"{prefix}mlp.dense_h_to_4h.bias"],
            weights[f"{prefix}mlp.dense_4h_to_h.bias"],
            ACTIVATIONS[config.get("hidden_act", "gelu")],
        ),
        order="parallel" if config.get("use_parallel_residual", True) else "pre",
    )


GPT_NEOX = Format(
    "a GPT-NeoX",
    ("GPTNeoXForCausalLM",),
    _reasons,
    _shapes,
    lambda config: (),
    _build,
    "num_hidden_layers",
    _tied,
    (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    ("gpt_neox.",),
    {"lm_head.weight": "embed_out.weight"},
)
