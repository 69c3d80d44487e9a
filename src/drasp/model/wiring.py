"""Which parts of a Transformer read which: the residual stream cut into what each component reads of each earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from drasp.run.swaps import SwapKind

if TYPE_CHECKING:
    from drasp.model.transformer import Transformer


@dataclass(frozen=True, order=True)
class Sender:
    """What adds to the residual stream: an embedding, a head or an MLP; or a norm of the stream itself, which all that follow read.

    Attributes:
        head: its number; of a norm 0 behind attention, 1 behind the MLP.
    """

    kind: Literal["token", "pos", "head", "mlp", "norm"]
    layer: int = 0
    head: int = 0


@dataclass(frozen=True, order=True)
class Receiver:
    """What reads the stream: a head's query, key or value, an MLP, a norm of the stream itself, or the output."""

    kind: Literal["query", "key", "value", "mlp", "norm", "output"]
    layer: int = 0
    head: int = 0


def swapped_parts(senders: Sequence[Sender], kind: SwapKind) -> list[Sender | Receiver]:
    """The activations of some heads that are patched for an interchange intervention; of an MLP there is but its value."""
    if kind == "value":
        return list(senders)
    return [Receiver(reads, sender.layer, sender.head) for sender in senders for reads in ("key", "value")]


@dataclass(frozen=True)
class Wiring:
    """What each receiver reads instead of the whole stream: `sum over senders of multiplier * sender + constant`.

    Attributes:
        reads: for each receiver, in the order in which they read, the senders it reads, each with its multiplier.
        constants: for each receiver a vector (D): the biases added to the stream so far (but an MLP's, a norm's, and those of a head's
            values, belong to the sender), and what stands in for the senders it does not read.
    """

    reads: Mapping[Receiver, Mapping[Sender, float]]
    constants: Mapping[Receiver, np.ndarray] = field(repr=False)


def anatomy(model: "Transformer") -> dict[Receiver, list[Sender]]:
    """Every receiver, in the order in which they read, with everything that it can read, in the order in which that is computed."""
    found: dict[Receiver, list[Sender]] = {}
    stream = [Sender("token"), Sender("pos")] if model.embeds_positions else [Sender("token")]

    def normed(layer: int, number: int) -> list[Sender]:
        found[Receiver("norm", layer, number)] = stream
        return [Sender("norm", layer, number)]

    for layer, block in enumerate(model.blocks):
        heads = range(model.heads)
        found |= {Receiver(kind, layer, head): stream for kind in ("query", "key", "value") for head in heads}
        before, stream = stream, [*stream, *(Sender("head", layer, head) for head in heads)]
        if block.order == "post":
            stream = normed(layer, 0)
        if block.mlp is not None:
            found[Receiver("mlp", layer)] = before if block.order == "parallel" else stream
            stream = [*stream, Sender("mlp", layer)]
            if block.order == "post":
                stream = normed(layer, 1)
    found[Receiver("output", len(model.blocks))] = stream
    return found


def full_wiring(model: "Transformer") -> Wiring:
    """The wiring of the model itself: everybody reads everything."""
    every = anatomy(model)
    constants = {}
    bias = np.zeros(model.width)
    for receiver, senders in every.items():
        heads = {sender.layer for sender in senders if sender.kind == "head"}
        constants[receiver] = sum((model.blocks[layer].b_head_out for layer in sorted(heads)), bias)
    return Wiring({c: dict.fromkeys(senders, 1.0) for c, senders in every.items()}, constants)


def live_senders(wiring: Wiring) -> frozenset[Sender]:
    """The senders that the output depends on."""
    live: set[Sender] = set()
    for receiver in reversed(list(wiring.reads)):
        if receiver.kind == "output" or component(receiver) in live:
            live.update(wiring.reads[receiver])
    return frozenset(live)


def component(receiver: Receiver) -> Sender:
    """The head, MLP or norm that a receiver belongs to."""
    if receiver.kind in ("mlp", "norm"):
        return Sender("mlp" if receiver.kind == "mlp" else "norm", receiver.layer, receiver.head)
    return Sender("head", receiver.layer, receiver.head)
