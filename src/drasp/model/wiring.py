"""Which parts of a Transformer read which: the residual stream cut into what each component reads of each earlier one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from drasp.model.transformer import Transformer


@dataclass(frozen=True, order=True)
class Sender:
    """What adds to the residual stream: an embedding, a head or an MLP."""

    kind: Literal["token", "pos", "head", "mlp"]
    layer: int = 0
    head: int = 0


@dataclass(frozen=True, order=True)
class Receiver:
    """What reads the stream through a LayerNorm: a head's query, key or value, an MLP, or the output."""

    kind: Literal["query", "key", "value", "mlp", "output"]
    layer: int = 0
    head: int = 0


@dataclass(frozen=True)
class Wiring:
    """What each receiver reads instead of the whole stream: `sum over senders of multiplier * sender + constant`.

    Attributes:
        reads: for each receiver the senders it reads, each with its multiplier.
        constants: for each receiver a vector (D): the biases added to the stream so far (but an MLP's, and those of a head's values, belong
            to the sender), and what stands in for the senders it does not read.
    """

    reads: Mapping[Receiver, Mapping[Sender, float]]
    constants: Mapping[Receiver, np.ndarray] = field(repr=False)


def senders_of(receiver: Receiver, layers: int, heads: int) -> list[Sender]:
    """Everything that a receiver can read, in the order in which it is computed."""
    found = [Sender("token"), Sender("pos")]
    for layer in range(layers):
        before = receiver.kind == "output" or layer < receiver.layer
        if before or (receiver.kind == "mlp" and layer == receiver.layer):
            found += [Sender("head", layer, head) for head in range(heads)]
        if before:
            found.append(Sender("mlp", layer))
    return found


def receivers(layers: int, heads: int) -> list[Receiver]:
    """Every receiver, in the order in which they read."""
    found = []
    for layer in range(layers):
        found += [Receiver(kind, layer, head) for kind in ("query", "key", "value") for head in range(heads)]
        found.append(Receiver("mlp", layer))
    return [*found, Receiver("output", layers)]


def full_wiring(model: Transformer) -> Wiring:
    """The wiring of the model itself: everybody reads everything."""
    layers, heads = len(model.blocks), model.heads
    every = receivers(layers, heads)
    constants = {}
    bias = np.zeros(model.width)
    for receiver in every:
        if receiver.kind == "mlp":
            bias = bias + model.blocks[receiver.layer].b_head_out
        constants[receiver] = bias
    return Wiring({c: dict.fromkeys(senders_of(c, layers, heads), 1.0) for c in every}, constants)


def live_senders(wiring: Wiring) -> frozenset[Sender]:
    """The senders that the output depends on."""
    live: set[Sender] = set()
    for receiver in sorted(wiring.reads, key=lambda c: (c.layer, c.kind in ("mlp", "output")), reverse=True):
        if receiver.kind == "output" or component(receiver) in live:
            live.update(wiring.reads[receiver])
    return frozenset(live)


def component(receiver: Receiver) -> Sender:
    """The head or MLP that a receiver belongs to."""
    return Sender("mlp", receiver.layer) if receiver.kind == "mlp" else Sender("head", receiver.layer, receiver.head)
