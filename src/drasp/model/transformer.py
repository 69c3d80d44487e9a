"""One plain description of a Transformer: NumPy arrays and nothing else. Loaders fill it, and so can anybody, from any code."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.ir.activations import ACTIVATIONS
from drasp.model.parts.arrays import array, array_or, is_left_out, left_out
from drasp.model.parts.norms import LayerNorm, Norm, RMSNorm
from drasp.model.parts.positions import Rotary

__all__ = ["Block", "FeedForward", "LayerNorm", "Norm", "RMSNorm", "Rotary", "Transformer"]

Order = Literal["pre", "post", "parallel"]
Attention = Literal["causal", "bidirectional"]


@dataclass(frozen=True)
class FeedForward:
    """The MLP of a layer: act(x @ w_in + b_in) @ w_out + b_out; gated, (act(x @ w_gate + b_gate) * (x @ w_in + b_in)) @ w_out + b_out.

    Attributes:
        w_in: (D, hidden); w_out: (hidden, D). b_in: (hidden), b_out: (D); left out, 0.
        activation: "gelu" (the tanh form, "gelu_new"), "gelu_exact", "relu" or "silu".
        w_gate: (D, hidden); left out where there is no gate. b_gate: (hidden); left out, 0.
    """

    w_in: np.ndarray
    w_out: np.ndarray
    b_in: np.ndarray = field(default_factory=left_out)
    b_out: np.ndarray = field(default_factory=left_out)
    activation: str = "gelu"
    w_gate: np.ndarray = field(default_factory=left_out)
    b_gate: np.ndarray = field(default_factory=left_out)

    @property
    def gated(self) -> bool:
        return self.w_gate.size > 0

    def of_width(self, width: int, what: str) -> "FeedForward":
        """With its weights as arrays; refused where they do not fit."""
        if self.activation not in ACTIVATIONS:
            raise UnsupportedModelError(f"the activation of {what} is {self.activation!r}, not one of {', '.join(ACTIVATIONS)}")
        w_in = array(self.w_in, f"w_in of {what}", (width, None))
        hidden = w_in.shape[1]
        gated = not is_left_out(self.w_gate)
        return FeedForward(
            w_in,
            array(self.w_out, f"w_out of {what}", (hidden, width)),
            array_or(self.b_in, f"b_in of {what}", (hidden,)),
            array_or(self.b_out, f"b_out of {what}", (width,)),
            self.activation,
            array(self.w_gate, f"w_gate of {what}", (width, hidden)) if gated else np.zeros(0),
            array_or(self.b_gate, f"b_gate of {what}", (hidden,)) if gated else np.zeros(0),
        )


@dataclass(frozen=True)
class Block:
    """One layer. All weights act from the right: y = x @ w + b. A bias that is left out is 0.

    Attributes:
        w_query, w_key, w_value: (H, D, Dh); b_query, b_key, b_value: (H, Dh).
        w_head_out: (H, Dh, D); b_head_out: (D), shared by the heads.
        norm_attention, norm_mlp: before attention and before the MLP; where `order` is "post", of the stream behind each.
        mlp: None where there is none.
        order: "pre": the MLP reads what attention has added to. "parallel": both read the same. "post": the stream is normed, behind
            attention and behind the MLP.
        score_scale: what attention scores are multiplied by; None: 1 / sqrt(Dh).
    """

    w_query: np.ndarray
    w_key: np.ndarray
    w_value: np.ndarray
    w_head_out: np.ndarray
    b_query: np.ndarray = field(default_factory=left_out)
    b_key: np.ndarray = field(default_factory=left_out)
    b_value: np.ndarray = field(default_factory=left_out)
    b_head_out: np.ndarray = field(default_factory=left_out)
    norm_attention: Norm = field(default_factory=Norm)
    norm_mlp: Norm = field(default_factory=Norm)
    mlp: FeedForward | None = None
    order: Order = "pre"
    score_scale: float | None = None

    @property
    def scale(self) -> float:
        return float(1 / np.sqrt(self.w_query.shape[2])) if self.score_scale is None else self.score_scale

    def of_width(self, width: int, heads: int, what: str) -> "Block":
        """With its weights as arrays; refused where they do not fit."""
        if self.order not in ("pre", "post", "parallel"):
            raise UnsupportedModelError(f"the order of {what} is {self.order!r}, not pre, post or parallel")
        query = array(self.w_query, f"w_query of {what}", (heads, width, None))
        value = array(self.w_value, f"w_value of {what}", (heads, width, None))
        return replace(
            self,
            w_query=query,
            w_key=array(self.w_key, f"w_key of {what}", query.shape),
            w_value=value,
            w_head_out=array(self.w_head_out, f"w_head_out of {what}", (heads, value.shape[2], width)),
            b_query=array_or(self.b_query, f"b_query of {what}", (heads, query.shape[2])),
            b_key=array_or(self.b_key, f"b_key of {what}", (heads, query.shape[2])),
            b_value=array_or(self.b_value, f"b_value of {what}", (heads, value.shape[2])),
            b_head_out=array_or(self.b_head_out, f"b_head_out of {what}", (width,)),
            norm_attention=self.norm_attention.of_width(width, f"norm_attention of {what}"),
            norm_mlp=self.norm_mlp.of_width(width, f"norm_mlp of {what}"),
            mlp=None if self.mlp is None else self.mlp.of_width(width, f"the MLP of {what}"),
        )


@dataclass(frozen=True)
class Transformer:
    """A Transformer. Weights may be arrays, tensors of torch, or lists; they are kept as arrays in double precision.

    Attributes:
        token_embedding: (V, D).
        unembedding: (D, outputs), and its bias (outputs): the outputs are the vocabulary, or what else is predicted.
        blocks: the layers in order, all with the same number of heads.
        position_embedding: (P, D), learned or `drasp.sinusoidal(P, D)`; left out where positions are not added to the stream.
        norm_final: the norm before the unembedding.
        rotary: how queries and keys are turned by their position, if they are.
        positions: how many there are; needed where there is no table of them.
        attention: whether a position sees those up to itself ("causal"), or all ("bidirectional").
        padding: the id of the token that attention never sees, if there is one; only for bidirectional attention.
        sha256: digest of the weight file, or of the weights where there is no file.

    Raises:
        UnsupportedModelError: shapes that do not fit each other, or weights that are not finite; it says which.
    """

    token_embedding: np.ndarray
    unembedding: np.ndarray
    blocks: tuple[Block, ...]
    position_embedding: np.ndarray = field(default_factory=left_out)
    norm_final: Norm = field(default_factory=Norm)
    unembedding_bias: np.ndarray = field(default_factory=left_out)
    rotary: Rotary | None = None
    positions: int = 0
    attention: Attention = "causal"
    padding: int | None = None
    sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        tokens = array(self.token_embedding, "the token embedding", (None, None))
        width = tokens.shape[1]
        unembedding = array(self.unembedding, "the unembedding", (width, None))
        table = self.position_embedding
        if is_left_out(table):
            self._set(position_embedding=np.zeros((0, width)))
        else:
            table = array(table, "the position embedding", (self.positions or None, width))
            self._set(position_embedding=table, positions=table.shape[0])
        self._set(token_embedding=tokens, unembedding=unembedding, norm_final=self.norm_final.of_width(width, "the final norm"))
        self._set(unembedding_bias=array_or(self.unembedding_bias, "the bias of the unembedding", (unembedding.shape[1],)))
        self._check()
        heads = len(self.blocks[0].w_query)
        self._set(blocks=tuple(block.of_width(width, heads, f"layer {i}") for i, block in enumerate(self.blocks)))
        self._check_rotary()
        if not self.sha256:
            self._set(sha256=_digest(self))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        if not self.blocks:
            raise UnsupportedModelError("there is no layer: a Transformer has one block at the least")
        if self.positions < 1:
            raise UnsupportedModelError("there is no table of positions, and it is not said how many there are: give positions=")
        if self.attention not in ("causal", "bidirectional"):
            raise UnsupportedModelError(f"attention is {self.attention!r}, not causal or bidirectional")
        if self.padding is not None and not (self.attention == "bidirectional" and 0 <= self.padding < self.vocabulary_size):
            raise UnsupportedModelError(f"padding is {self.padding}, not the id of a token of a model with bidirectional attention")

    def _check_rotary(self) -> None:
        if self.rotary is None:
            return
        for layer, block in enumerate(self.blocks):
            if self.rotary.dimensions % 2 or not 0 < self.rotary.dimensions <= block.w_query.shape[2]:
                size = block.w_query.shape[2]
                raise UnsupportedModelError(f"rotary turns {self.rotary.dimensions} of the {size} coordinates of a head of layer {layer}")

    @property
    def vocabulary_size(self) -> int:
        return self.token_embedding.shape[0]

    @property
    def outputs(self) -> int:
        return self.unembedding.shape[1]

    @property
    def width(self) -> int:
        return self.token_embedding.shape[1]

    @property
    def heads(self) -> int:
        return self.blocks[0].w_query.shape[0]

    @property
    def bidirectional(self) -> bool:
        """Whether a position sees those after it too."""
        return self.attention == "bidirectional"

    @property
    def embeds_positions(self) -> bool:
        """Whether positions are added to the stream."""
        return len(self.position_embedding) > 0


def cut(model: Transformer, tokens: int, outputs: int, padding: int | None) -> Transformer:
    """The model without its last token ids and outputs, which a task has not, and with the task's padding, if it can have one."""
    return replace(
        model,
        token_embedding=model.token_embedding[:tokens],
        unembedding=model.unembedding[:, :outputs],
        unembedding_bias=model.unembedding_bias[:outputs],
        padding=padding if model.bidirectional and model.padding is None else model.padding,
    )


def _digest(model: Transformer) -> str:
    """The SHA-256 of a description."""
    found = hashlib.sha256()
    for name, value in _parts(model, ""):
        found.update(name.encode())
        found.update(f"{value.shape}".encode() + value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()


def _parts(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        yield name, type(value).__name__
        for each in fields(value):
            yield from _parts(getattr(value, each.name), f"{name}.{each.name}")
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _parts(part, f"{name}.{i}")
    else:
        yield name, value
