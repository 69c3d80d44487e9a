"""Which parts of a Transformer read which: the residual stream cut into what each component reads of each earlier one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from drasp.model.transformer import Transformer


@dataclass(frozen=True, order=True)
class Source:
    """What adds to the residual stream: an embedding, a head or an MLP."""

    kind: Literal["token", "pos", "head", "mlp"]
    layer: int = 0
    head: int = 0


@dataclass(frozen=True, order=True)
class Consumer:
    """What reads the stream through a LayerNorm: a head's query, key or value, an MLP, or the output."""

    kind: Literal["query", "key", "value", "mlp", "output"]
    layer: int = 0
    head: int = 0


@dataclass(frozen=True)
class Wiring:
    """What each consumer reads instead of the whole stream: `sum over sources of multiplier * source + constant`.

    Attributes:
        reads: for each consumer the sources it reads, each with its multiplier.
        constants: for each consumer a vector (D): the biases added to the stream so far (but an MLP's, and those of a head's values, belong
            to the source), and what stands in for the sources it does not read.
    """

    reads: Mapping[Consumer, Mapping[Source, float]]
    constants: Mapping[Consumer, np.ndarray] = field(repr=False)


def sources_of(consumer: Consumer, layers: int, heads: int) -> list[Source]:
    """Everything that a consumer can read, in the order in which it is computed."""
    found = [Source("token"), Source("pos")]
    for layer in range(layers):
        before = consumer.kind == "output" or layer < consumer.layer
        if before or (consumer.kind == "mlp" and layer == consumer.layer):
            found += [Source("head", layer, head) for head in range(heads)]
        if before:
            found.append(Source("mlp", layer))
    return found


def consumers(layers: int, heads: int) -> list[Consumer]:
    """Every consumer, in the order in which they read."""
    found = []
    for layer in range(layers):
        found += [Consumer(kind, layer, head) for kind in ("query", "key", "value") for head in range(heads)]
        found.append(Consumer("mlp", layer))
    return [*found, Consumer("output", layers)]


def full_wiring(model: Transformer) -> Wiring:
    """The wiring of the model itself: everybody reads everything."""
    layers, heads = len(model.blocks), model.heads
    every = consumers(layers, heads)
    constants = {}
    bias = np.zeros(model.width)
    for consumer in every:
        if consumer.kind == "mlp":
            bias = bias + model.blocks[consumer.layer].b_head_out
        constants[consumer] = bias
    return Wiring({c: dict.fromkeys(sources_of(c, layers, heads), 1.0) for c in every}, constants)


def live_sources(wiring: Wiring) -> frozenset[Source]:
    """The sources that the output depends on."""
    live: set[Source] = set()
    for consumer in sorted(wiring.reads, key=lambda c: (c.layer, c.kind in ("mlp", "output")), reverse=True):
        if consumer.kind == "output" or component(consumer) in live:
            live.update(wiring.reads[consumer])
    return frozenset(live)


def component(consumer: Consumer) -> Source:
    """The head or MLP that a consumer belongs to."""
    return Source("mlp", consumer.layer) if consumer.kind == "mlp" else Source("head", consumer.layer, consumer.head)
