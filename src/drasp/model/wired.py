"""A Transformer whose components read each other through multipliers: the executor of the component-level search.

It means what `drasp.rewrite.lift` makes of a wiring, and is tested against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drasp.model.transformer import LayerNorm, Transformer
from drasp.model.wiring import Consumer, Source, Wiring, component, consumers, full_wiring, sources_of
from drasp.run.gated import since_first

Edge = tuple[Consumer, Source]
Norm = tuple[Tensor, Tensor, float]
"""Gain, shift and eps of a LayerNorm."""


@dataclass(frozen=True)
class _Layer:
    """One block's weights; those of queries, keys and values come in that order, each with the heads in front."""

    norms: tuple[Norm, Norm]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    out: Tensor
    mlp: tuple[Tensor, Tensor, Tensor, Tensor]
    scale: float


class WiredTransformer:
    """A Transformer ready to run, edge by edge, in float32 on one device.

    Attributes:
        edges: every pair of a consumer and a source, consumer by consumer; multipliers come in this order.
        consumers: those of all edges, in the order in which they read; constants come in this order.
        biases: (consumers, D), the biases that are in the stream when each consumer reads.
    """

    def __init__(self, model: Transformer, device: torch.device | str = "cpu"):
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=torch.float32, device=device)

        def norm(source: LayerNorm) -> Norm:
            return tensor(source.gain), tensor(source.shift), source.eps

        self.device = torch.device(device)
        self.layers, self.heads, self.width = len(model.blocks), model.heads, model.width
        self.consumers = consumers(self.layers, self.heads)
        self.edges: list[Edge] = []
        self._slices: dict[Consumer, slice] = {}
        for consumer in self.consumers:
            found = sources_of(consumer, self.layers, self.heads)
            self._slices[consumer] = slice(len(self.edges), len(self.edges) + len(found))
            self.edges += [(consumer, source) for source in found]
        self.biases = tensor(np.stack([full_wiring(model).constants[c] for c in self.consumers]))
        self._row = {consumer: row for row, consumer in enumerate(self.consumers)}
        self._embeddings = tensor(model.token_embedding), tensor(model.position_embedding)
        self._unembedding = tensor(model.unembedding)
        self._norm_final = norm(model.norm_final)
        self._blocks = [
            _Layer(
                (norm(block.norm_attention), norm(block.norm_mlp)),
                tuple(tensor(w) for w in (block.w_query, block.w_key, block.w_value)),
                tuple(tensor(b)[:, None, None] for b in (block.b_query, block.b_key, block.b_value)),
                tensor(block.w_head_out),
                (tensor(block.w_in), tensor(block.b_in), tensor(block.w_out), tensor(block.b_out)),
                scale,
            )
            for block, scale in zip(model.blocks, model.score_scale, strict=True)
        ]

    def logits(
        self, token_ids: Tensor, position_ids: Tensor, scored: Tensor, multipliers: Tensor, constants: Tensor, live: frozenset[Source]
    ) -> Tensor:
        """Logits (scored positions, V) of integers (batch, time).

        Args:
            multipliers: (edges) or (batch, edges).
            constants: (consumers, D) or (batch, consumers, D), what each consumer reads besides the sources, biases included.
            live: the sources to compute; the others count as 0.
        """
        last = since_first(scored)
        run = self._run(token_ids, position_ids, multipliers, constants, live, last)
        stream = run.stream([self.consumers[-1]], last, scored[:, -last:])[0]
        return _norm(stream, self._norm_final) @ self._unembedding

    def _run(
        self, token_ids: Tensor, position_ids: Tensor, multipliers: Tensor, constants: Tensor, live: frozenset[Source], last: int
    ) -> "_Run":
        """All that adds to the stream; the last layer at the last positions alone, as many as `last` says."""
        run = _Run(self, multipliers, constants)
        run.add([F.embedding(ids, table) for table, ids in zip(self._embeddings, (token_ids, position_ids), strict=True)])
        for layer in range(self.layers):
            count = last if layer == self.layers - 1 else token_ids.shape[1]
            run.add(self._attention(run, layer, live, token_ids.shape[1], count))
            run.add([self._mlp(run, layer, count)] if Source("mlp", layer) in live else [None])
        return run

    def _attention(self, run: "_Run", layer: int, live: frozenset[Source], time: int, count: int) -> list[Tensor | None]:
        """What each head adds to the last `count` positions of the stream, (batch, count, D); None for a head that is not live."""
        block = self._blocks[layer]
        heads = [head for head in range(self.heads) if Source("head", layer, head) in live]
        found: list[Tensor | None] = [None] * self.heads
        if not heads:
            return found
        if count == time:
            reads = run.stream([Consumer(kind, layer, h) for kind in ("query", "key", "value") for h in heads], time).split(len(heads))
            mask = None
        else:
            every = run.stream([Consumer(kind, layer, h) for kind in ("key", "value") for h in heads], time)
            reads = run.stream([Consumer("query", layer, h) for h in heads], count), *every.split(len(heads))
            mask = torch.ones(count, time, dtype=torch.bool, device=self.device).tril(time - count)
        query, key, value = (
            torch.einsum("hbtd,hde->hbte", _norm(part, block.norms[0]), weight[heads]) + bias[heads]
            for part, weight, bias in zip(reads, block.weights, block.biases, strict=True)
        )
        averaged = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, scale=block.scale)
        for head, out in zip(heads, torch.einsum("hbte,hed->hbtd", averaged, block.out[heads]), strict=True):
            found[head] = out
        return found

    def _mlp(self, run: "_Run", layer: int, count: int) -> Tensor:
        block = self._blocks[layer]
        w_in, b_in, w_out, b_out = block.mlp
        stream = run.stream([Consumer("mlp", layer)], count)[0]
        return F.gelu(_norm(stream, block.norms[1]) @ w_in + b_in, approximate="tanh") @ w_out + b_out

    @torch.no_grad()
    def means(self, batches: Sequence["tuple[Tensor, Tensor, Tensor]"]) -> Tensor:
        """The mean of each edge's source where it is read, (edges, D): over the scored positions for the last MLP and the output."""
        every = frozenset(source for _, source in self.edges)
        ones = torch.ones(len(self.edges), device=self.device)
        totals: dict[tuple[Source, bool], Tensor] = {}
        counts = [0, 0]
        for token_ids, position_ids, scored in batches:
            run = self._run(token_ids, position_ids, ones, self.biases, every, token_ids.shape[1])
            real = scored.flip(1).cumsum(1).flip(1) > 0
            for last, where in enumerate((real, scored)):
                counts[last] += int(where.sum())
                for source, value in zip(sources_of(self.consumers[-1], self.layers, self.heads), run.sources, strict=True):
                    assert value is not None
                    key = (source, bool(last))
                    totals[key] = totals.get(key, torch.zeros(self.width, device=self.device)) + value[where].sum(0)
        return torch.stack([totals[source, last] / counts[last] for consumer, source in self.edges for last in [self._is_last(consumer)]])

    def _is_last(self, consumer: Consumer) -> bool:
        return consumer.kind == "output" or consumer == Consumer("mlp", self.layers - 1)

    def row(self, consumer: Consumer) -> int:
        """Where a consumer stands in the constants."""
        return self._row[consumer]

    def slice(self, consumer: Consumer) -> slice:
        """Where a consumer's edges stand."""
        return self._slices[consumer]

    def live(self, kept: Sequence[bool]) -> tuple[frozenset[Source], list[bool]]:
        """The sources that the output depends on, and the edges that lead to it, of those kept."""
        live: set[Source] = set()
        for consumer in reversed(self.consumers):
            if consumer.kind == "output" or component(consumer) in live:
                part = self._slices[consumer]
                live.update(source for (_, source), keep in zip(self.edges[part], kept[part], strict=True) if keep)
        reached = [
            keep and (consumer.kind == "output" or component(consumer) in live)
            for (consumer, _), keep in zip(self.edges, kept, strict=True)
        ]
        return frozenset(live), reached

    def wiring(self, multipliers: Tensor, constants: Tensor) -> Wiring:
        """The same as data; edges at 0 are left out."""
        values = multipliers.detach().double().cpu().tolist()
        rows = constants.detach().double().cpu().numpy()
        reads: dict[Consumer, dict[Source, float]] = {consumer: {} for consumer in self.consumers}
        for (consumer, source), value in zip(self.edges, values, strict=True):
            if value:
                reads[consumer][source] = value
        return Wiring(reads, {consumer: rows[i] for i, consumer in enumerate(self.consumers)})


class _Run:
    """One forward pass: the sources so far."""

    def __init__(self, wired: WiredTransformer, multipliers: Tensor, constants: Tensor) -> None:
        self.wired = wired
        self.multipliers = multipliers
        self.constants = constants
        self.sources: list[Tensor | None] = []

    def add(self, values: Sequence[Tensor | None]) -> None:
        self.sources += values

    def stream(self, readers: Sequence[Consumer], count: int, where: Tensor | None = None) -> Tensor:
        """What consumers of one layer read at the last `count` positions: (consumers, batch, count, D), or (consumers, places, D) at those
        of them that `where` marks, (batch, count).
        """
        present = [i for i, source in enumerate(self.sources) if source is not None]
        stacked = torch.stack([value[:, -count:] for value in self.sources if value is not None])
        gates = torch.stack([self.multipliers[..., self.wired.slice(c)][..., present] for c in readers])
        constants = torch.stack([self.constants[..., self.wired.row(c), :] for c in readers])
        if where is not None:
            places = where.flatten().nonzero()[:, 0]
            rows = places // count
            stacked = stacked.flatten(1, 2).index_select(1, places)
            gates = gates[:, rows] if gates.dim() == 3 else gates
            constants = constants[:, rows] if constants.dim() == 3 else constants[:, None]
            return torch.einsum("cns,snd->cnd" if gates.dim() == 3 else "cs,snd->cnd", gates, stacked) + constants
        constants = constants[:, :, None] if constants.dim() == 3 else constants[:, None, None]
        return torch.einsum("cbs,sbtd->cbtd" if gates.dim() == 3 else "cs,sbtd->cbtd", gates, stacked) + constants


def _norm(x: Tensor, norm: Norm) -> Tensor:
    gain, shift, eps = norm
    return F.layer_norm(x, gain.shape, gain, shift, eps)
