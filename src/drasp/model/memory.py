"""Takes models of other libraries from memory, and checks them: their own forward pass must be the one that drasp takes them for.

They are known by the name of their class, so that no library is imported that is not there already.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.model.checkpoint import digest
from drasp.model.loaders.format import Format, without_prefix
from drasp.model.loaders.gpt2 import GPT2, MIN_GPT, NANO_GPT
from drasp.model.loaders.gpt_neox import GPT_NEOX
from drasp.model.loaders.llama import LLAMA
from drasp.model.loaders.rotary import rotary_of
from drasp.model.loaders.transformer_lens import TRANSFORMER_LENS
from drasp.model.parts.arrays import as_numbers
from drasp.model.places import Places
from drasp.model.transformer import Transformer


@dataclass(frozen=True)
class Kind:
    """A class of models.

    Attributes:
        formats: one of them fits its weights.
        read: its configuration and tensors by name.
    """

    formats: Callable[[Mapping[str, np.ndarray]], Format]
    read: Callable[[Any], tuple[dict[str, Any], dict[str, np.ndarray]]]
    places: Places


def arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Tensors as arrays in double precision."""
    return {name: np.array(as_numbers(tensor, f"tensor {name}")) for name, tensor in state.items()}


def _hugging_face(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config = model.config.to_dict()
    return {name: value for name, value in config.items() if name not in ("architectures", "auto_map")}, arrays(model.state_dict())


def _hooked(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return dict(vars(model.cfg)), arrays(model.state_dict())


def _bridged(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A `TransformerBridge`, by what it says that its weights are; those of the model inside have other names and shapes."""
    config = dict(vars(model.cfg))
    found = {"embed.W_E": model.W_E, "unembed.W_U": model.W_U, "unembed.b_U": _tensor(model, "b_U")}
    if config.get("positional_embedding_type") == "standard":
        found["pos_embed.W_pos"] = model.W_pos
    elif config.get("positional_embedding_type") == "rotary":  # how much of a head is turned only the model inside says
        rotary = rotary_of(model.original_model.config.to_dict(), config["d_head"], 1.0)
        config |= {} if rotary is None else {"rotary_dim": rotary.dimensions, "rotary_base": rotary.base}
    shared = "_" if config.get("n_key_value_heads") else ""
    for part, names in (
        ("attn", ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")),
        ("mlp", ("W_in", "W_out", "W_gate", "b_in", "b_out")),
    ):
        for name in names:
            stacked = _tensor(model, name)
            mark = shared if name[2:] in ("K", "V") else ""
            for layer, tensor in enumerate(() if stacked is None else stacked):
                found[f"blocks.{layer}.{part}.{mark}{name}"] = tensor
    norms = {"ln_final": getattr(model, "ln_final", None)}
    for layer, block in enumerate(model.blocks):
        norms |= {f"blocks.{layer}.{name}": getattr(block, name, None) for name in ("ln1", "ln2")}
    for name, norm in norms.items():
        found |= {f"{name}.w": _tensor(norm, "weight", "w"), f"{name}.b": _tensor(norm, "bias", "b")}
    tensors = {name: tensor for name, tensor in found.items() if tensor is not None}
    return config, arrays(tensors)


def _tensor(owner: Any, *names: str) -> Any:
    """The first of these that it has; None where it has none."""
    for name in names:
        try:
            found = getattr(owner, name)
        except (AttributeError, NotImplementedError):
            continue
        if hasattr(found, "detach"):
            return found
    return None


def _karpathy(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config = getattr(model, "config", None)
    found = dict(config) if isinstance(config, Mapping) else dict(vars(config)) if hasattr(config, "__dict__") else {}
    state = arrays(model.state_dict())
    return found or _sizes(model, state), state


def _sizes(model: Any, state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Settings of minGPT, whose models do not keep theirs."""
    plain = {without_prefix(name, ("transformer.",)): tensor for name, tensor in state.items()}
    old = "tok_emb.weight" in plain
    blocks = list(model.blocks if old else model.transformer.h)
    tokens = plain["tok_emb.weight" if old else "wte.weight"]
    places = plain["pos_emb"][0] if old else plain["wpe.weight"]
    sizes = {"vocab_size": tokens.shape[0], "n_embd": tokens.shape[1], "block_size": places.shape[0]}
    return {**sizes, "n_layer": len(blocks), "n_head": int(blocks[0].attn.n_head)}


_GPT2 = Places("transformer.h.0", "transformer.h.{}.attn", "transformer.h.{}.mlp", "transformer.h.{}", "transformer.ln_f")
_LENS = Places("blocks.0", "blocks.{}.hook_attn_out", "blocks.{}.hook_mlp_out", "blocks.{}", "ln_final")

KINDS: dict[str, Kind] = {
    "GPT2LMHeadModel": Kind(lambda weights: GPT2, _hugging_face, _GPT2),
    "GPTNeoXForCausalLM": Kind(
        lambda weights: GPT_NEOX,
        _hugging_face,
        Places(
            "gpt_neox.layers.0", "gpt_neox.layers.{}.attention", "gpt_neox.layers.{}.mlp", "gpt_neox.layers.{}", "gpt_neox.final_layer_norm"
        ),
    ),
    "LlamaForCausalLM": Kind(
        lambda weights: LLAMA,
        _hugging_face,
        Places("model.layers.0", "model.layers.{}.self_attn", "model.layers.{}.mlp", "model.layers.{}", "model.norm"),
    ),
    "HookedTransformer": Kind(lambda weights: TRANSFORMER_LENS, _hooked, _LENS),
    "TransformerBridge": Kind(lambda weights: TRANSFORMER_LENS, _bridged, _LENS),
    "GPT": Kind(lambda weights: MIN_GPT if "tok_emb.weight" in weights else NANO_GPT, _karpathy, _GPT2),
}
"""By the name of the class; subclasses are taken too, where their forward pass is the same."""


def from_memory(model: Any) -> Transformer | None:
    """The description of a model in memory; None where it is none that drasp knows.

    Raises:
        UnsupportedModelError: it cannot be decompiled, with every reason; or its own forward pass is another, with where that begins.
    """
    model = _unwrapped(model)
    kind = next((KINDS[c.__name__] for c in type(model).__mro__ if c.__name__ in KINDS), None)
    if kind is None:
        return None
    config, weights = kind.read(model)
    name = type(model).__name__
    found = kind.formats(weights).load(config, weights, digest(weights), name)
    from drasp.model.checked import check_same  # what follows needs torch, which is there if the model is

    check_same(model, found, kind.places, name)
    return found


def from_hf(model: Any) -> Transformer:
    """The description of a `GPT2LMHeadModel`, `GPTNeoXForCausalLM` or `LlamaForCausalLM`.

    Raises:
        UnsupportedModelError: it is none of them, it cannot be decompiled, with every reason, or its forward pass is its own.
    """
    found = from_memory(model)
    if found is None:
        raise UnsupportedModelError(f"{type(model).__name__} is no model that drasp knows: {', '.join(KINDS)}")
    return found


def _unwrapped(model: Any) -> Any:
    """What torch.compile, or training on several devices, has put a module around."""
    wrappers = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
    while type(model).__name__ in wrappers:
        model = getattr(model, wrappers[type(model).__name__])
    return model
