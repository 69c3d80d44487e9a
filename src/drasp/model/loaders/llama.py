"""Llama of Hugging Face: RMSNorm, rotary positions, a gated MLP; heads may share keys and values."""

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
    shared_heads,
    size_reasons,
)
from drasp.model.loaders.rotary import rotary_of, rotary_reasons
from drasp.model.transformer import Block, FeedForward, RMSNorm, Transformer


def _head(config: Config) -> int:
    """The width of a head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _shared(config: Config) -> int:
    """How many heads of keys and values there are."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def _reasons(config: Config) -> list[str]:
    sizes = ("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    reasons = size_reasons(config, sizes)
    reasons += size_reasons(config, [name for name in ("head_dim", "num_key_value_heads") if config.get(name) is not None])
    reasons += division_reasons(config, "num_attention_heads", "num_key_value_heads")
    reasons += number_reasons(config, "rms_norm_eps", 1e-6) + activation_reasons(config, "hidden_act", "silu")
    return reasons or rotary_reasons(config, _head(config), 1.0)


def _shapes(config: Config) -> Shapes:
    width, hidden, tokens = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, shared = config["num_attention_heads"] * _head(config), _shared(config) * _head(config)
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (tokens, width),
        "norm.weight": (width,),
        "lm_head.weight": (tokens, width),
    }
    attention = {"q_proj": (heads, width), "k_proj": (shared, width), "v_proj": (shared, width), "o_proj": (width, heads)}
    mlp = {"gate_proj": (hidden, width), "up_proj": (hidden, width), "down_proj": (width, hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"layers.{layer}."
        shapes |= {f"{prefix}{norm}.weight": (width,) for norm in ("input_layernorm", "post_attention_layernorm")}
        for part, matrices in {"self_attn": attention, "mlp": mlp}.items():
            biased = config.get("attention_bias" if part == "self_attn" else "mlp_bias", False)
            for name, shape in matrices.items():
                shapes[f"{prefix}{part}.{name}.weight"] = shape
                if biased:
                    shapes[f"{prefix}{part}.{name}.bias"] = shape[:1]
    return shapes


def _tied(config: Config) -> tuple[str, str] | None:
    return ("embed_tokens.weight", "lm_head.weight") if config.get("tie_word_embeddings", False) else None


def _build(config: Config, weights: Weights, sha256: str) -> Transformer:
    return Transformer(
        token_embedding=weights["embed_tokens.weight"],
        unembedding=weights["lm_head.weight"].T,
        blocks=tuple(_block(config, weights, f"layers.{layer}.") for layer in range(config["num_hidden_layers"])),
        norm_final=_norm(config, weights, "norm"),
        rotary=rotary_of(config, _head(config), 1.0),
        positions=config["max_position_embeddings"],
        sha256=sha256,
    )


def _norm(config: Config, weights: Weights, name: str) -> RMSNorm:
    return RMSNorm(weights[f"{name}.weight"], eps=float(config.get("rms_norm_eps", 1e-6)))


def _block(config: Config, weights: Weights, prefix: str) -> Block:
    heads, shared = config["num_attention_heads"], _shared(config)

    def bias(name: str) -> np.ndarray:
        return weights.get(f"{prefix}{name}.bias", np.zeros(0))

    def attention(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        matrix, added = weights[f"{prefix}self_attn.{name}.weight"].T, bias(f"self_attn.{name}")
        return tuple(shared_heads(per_head(part, count), heads) if part.size else part for part in (matrix, added))  # type: ignore[return-value]

    (query, b_query), (key, b_key), (value, b_value) = attention("q_proj", heads), attention("k_proj", shared), attention("v_proj", shared)
    gate, up, down = (weights[f"{prefix}mlp.{name}.weight"].T for name in ("gate_proj", "up_proj", "down_proj"))
    b_gate, b_up, b_down = (bias(f"mlp.{name}") for name in ("gate_proj", "up_proj", "down_proj"))
    return Block(
        query,
        key,
        value,
        weights[f"{prefix}self_attn.o_proj.weight"].T.reshape(heads, -1, config["hidden_size"]),
        b_query,
        b_key,
        b_value,
        bias("self_attn.o_proj"),
        norm_attention=_norm(config, weights, f"{prefix}input_layernorm"),
        norm_mlp=_norm(config, weights, f"{prefix}post_attention_layernorm"),
        mlp=FeedForward(up, down, b_up, b_down, ACTIVATIONS[config.get("hidden_act", "silu")], gate, b_gate),
    )


LLAMA = Format(
    "a Llama",
    ("LlamaForCausalLM",),
    _reasons,
    _shapes,
    lambda config: (),
    _build,
    "num_hidden_layers",
    _tied,
    (".rotary_emb.inv_freq",),
)
