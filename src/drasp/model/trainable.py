"""A Transformer to train, with the names and shapes of transformers' `GPT2LMHeadModel`, and the model folder that it is written as."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drasp.ir.activations import ACTIVATIONS
from drasp.model.parts.positions import Rotary, TorchRotary

INITIAL_DEVIATION = 0.02
EPS = 1e-5
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda width: nn.LayerNorm(width, EPS),
    "rms": lambda width: nn.RMSNorm(width, EPS),
    "none": lambda width: nn.Identity(),
}
POSITIONS = ("learned", "rotary", "none")
_ACTIVATION_NAMES = {"gelu": "gelu_new", "gelu_exact": "gelu", "relu": "relu", "silu": "silu"}
"""What transformers and TransformerLens call them."""


@dataclass(frozen=True)
class Architecture:
    """What a Transformer is made of.

    Attributes:
        vocabulary: how many tokens; positions: how many position ids.
        norm: "layer", "rms" or "none". position: "learned", "rotary" or "none". activation: one of `ACTIVATIONS`.
        dropout: share of the embeddings, of the attention weights and of each layer's two outputs that training drops.
    """

    vocabulary: int
    positions: int
    layers: int
    heads: int
    width: int
    norm: str = "layer"
    position: str = "learned"
    activation: str = "gelu"
    dropout: float = 0.0

    @property
    def rotary(self) -> Rotary | None:
        return Rotary(self.width // self.heads) if self.position == "rotary" else None


class Trainable(nn.Module):
    """A decoder-only Transformer with a tied unembedding, freshly initialised as GPT-2 is; with the usual parts it is a GPT-2.

    Args:
        seed: of the initial weights.
    """

    def __init__(self, architecture: Architecture, seed: int):
        super().__init__()
        self.architecture = architecture
        self.transformer = _Stack(architecture)
        self._initialise(architecture.layers, torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def _initialise(self, layers: int, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if ".ln_" in name and name.endswith("weight") else 0.0)
            else:
                into_stream = name.endswith("c_proj.weight")
                parameter.normal_(0.0, INITIAL_DEVIATION / math.sqrt(2 * layers if into_stream else 1), generator=generator)

    def forward(self, token_ids: Tensor, position_ids: Tensor, chosen: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits (n, V) at the n places where `chosen` is true, in reading order; all arguments are (batch, time).

        With `generator` dropout is on and draws from it.
        """
        stack, of = self.transformer, self.architecture
        stream = stack.wte(token_ids)
        if stack.wpe is not None:
            stream = stream + stack.wpe(position_ids)
        turn = TorchRotary(of.rotary, of.positions, stream) if of.rotary else None
        stream = _drop(stream, of.dropout, generator)
        for block in stack.h:
            stream = block(stream, lambda x: x if turn is None else turn(x, position_ids[:, None]), generator)
        return stack.ln_f(stream[chosen]) @ stack.wte.weight.T

    @property
    def is_gpt2(self) -> bool:
        return (self.architecture.norm, self.architecture.position) == ("layer", "learned")

    def config(self) -> dict[str, Any]:
        """The configuration of the model folder: as transformers reads it where that has such a model, else as TransformerLens does."""
        return _gpt2_config(self.architecture) if self.is_gpt2 else _lens_config(self.architecture)

    def weights(self) -> dict[str, Tensor]:
        """The tensors of the model folder, on the CPU."""
        named = {name: p.detach().cpu() for name, p in self.named_parameters()}
        return named if self.is_gpt2 else {name: p.contiguous() for name, p in _lens_weights(named, self.architecture.heads)}


class _Stack(nn.Module):
    def __init__(self, of: Architecture):
        super().__init__()
        self.wte = nn.Embedding(of.vocabulary, of.width)
        self.wpe = nn.Embedding(of.positions, of.width) if of.position == "learned" else None
        self.h = nn.ModuleList(_Block(of) for _ in range(of.layers))
        self.ln_f = NORMS[of.norm](of.width)


class _Block(nn.Module):
    def __init__(self, of: Architecture):
        super().__init__()
        width = of.width
        self.ln_1 = NORMS[of.norm](width)
        self.attn = nn.ModuleDict({"c_attn": _Affine(width, 3 * width), "c_proj": _Affine(width, width)})
        self.ln_2 = NORMS[of.norm](width)
        self.mlp = nn.ModuleDict({"c_fc": _Affine(width, 4 * width), "c_proj": _Affine(4 * width, width)})
        self.heads, self.dropout = of.heads, of.dropout
        self.activation = ACTIVATIONS[of.activation].torch

    def forward(self, stream: Tensor, turn: Callable[[Tensor], Tensor], generator: torch.Generator | None) -> Tensor:
        """Args:
        turn: queries and keys by their positions.
        """
        batch, time, width = stream.shape
        mixed = self.attn["c_attn"](self.ln_1(stream)).view(batch, time, 3, self.heads, -1)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        read = self._attend(turn(query), turn(key), value, generator).transpose(1, 2).reshape(batch, time, width)
        stream = stream + _drop(self.attn["c_proj"](read), self.dropout, generator)
        hidden = self.activation(self.mlp["c_fc"](self.ln_2(stream)))
        return stream + _drop(self.mlp["c_proj"](hidden), self.dropout, generator)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, generator: torch.Generator | None) -> Tensor:
        """What each query reads: (batch, heads, time, Dh), the shape of all three."""
        if generator is None or not self.dropout:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True)
        time = query.shape[2]
        later = torch.ones(time, time, dtype=torch.bool, device=query.device).triu(1)
        scores = (query @ key.transpose(2, 3) / math.sqrt(query.shape[3])).masked_fill(later, -math.inf)
        return _drop(scores.softmax(dim=-1), self.dropout, generator) @ value


class _Affine(nn.Module):
    """x -> x W + b with W of shape (in, out), as GPT-2 stores it."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def _drop(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    if generator is None or not share:
        return x
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
    return x * kept / (1 - share)


def _gpt2_config(of: Architecture) -> dict[str, Any]:
    """What transformers reads as the configuration of a `GPT2LMHeadModel`."""
    return {
        "activation_function": _ACTIVATION_NAMES[of.activation],
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": of.dropout,
        "embd_pdrop": of.dropout,
        "layer_norm_epsilon": EPS,
        "model_type": "gpt2",
        "n_embd": of.width,
        "n_head": of.heads,
        "n_layer": of.layers,
        "n_positions": of.positions,
        "resid_pdrop": of.dropout,
        "tie_word_embeddings": True,
        "vocab_size": of.vocabulary,
    }


def _lens_config(of: Architecture) -> dict[str, Any]:
    """What TransformerLens reads as the configuration of a `HookedTransformer`."""
    rotary = {"rotary_dim": of.rotary.dimensions, "rotary_base": 10000, "rotary_adjacent_pairs": False} if of.rotary else {}
    return {
        "act_fn": _ACTIVATION_NAMES[of.activation],
        "attention_dir": "causal",
        "d_head": of.width // of.heads,
        "d_mlp": 4 * of.width,
        "d_model": of.width,
        "d_vocab": of.vocabulary,
        "eps": EPS,
        "n_ctx": of.positions,
        "n_heads": of.heads,
        "n_layers": of.layers,
        "normalization_type": {"layer": "LN", "rms": "RMS", "none": None}[of.norm],
        "positional_embedding_type": {"learned": "standard"}.get(of.position, of.position),
        **rotary,
    }


def _lens_weights(named: Mapping[str, Tensor], heads: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors by the names, and in the shapes, of a `HookedTransformer`."""
    tokens = named["transformer.wte.weight"]
    yield from (("embed.W_E", tokens), ("unembed.W_U", tokens.T), ("unembed.b_U", tokens.new_zeros(len(tokens))))
    for name, p in named.items():
        part, _, kind = name.removeprefix("transformer.").replace("h.", "blocks.", 1).rpartition(".")
        initial = "W" if kind == "weight" else "b"
        if part == "wpe":
            yield "pos_embed.W_pos", p
        elif ".ln_" in name:
            yield f"{part.replace('ln_f', 'ln_final').replace('.ln_', '.ln')}.{initial.lower()}", p
        elif part.endswith("c_attn"):
            for letter, matrix in zip("QKV", p.chunk(3, -1), strict=True):
                yield f"{part[:-7]}.{initial}_{letter}", matrix.unflatten(-1, (heads, -1)).movedim(-2, 0)
        elif part.endswith("attn.c_proj"):
            yield f"{part[:-7]}.{initial}_O", p.unflatten(0, (heads, -1)) if kind == "weight" else p
        elif ".mlp." in name:
            yield f"{part.rpartition('.')[0]}.{initial}_{'in' if part.endswith('c_fc') else 'out'}", p
