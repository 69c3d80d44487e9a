"""A Transformer whose components read each other through multipliers: the executor of the component-level search.

It means what `drasp.rewrite.lift` makes of a wiring, and is tested against it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drasp.model.transformer import LayerNorm, Transformer
from drasp.model.wiring import Receiver, Sender, Wiring, component, full_wiring, receivers, senders_of
from drasp.run.gated import since_first

Edge = tuple[Receiver, Sender]
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
        edges: every pair of a receiver and a sender, receiver by receiver; multipliers come in this order.
        receivers: those of all edges, in the order in which they read; constants come in this order.
        biases: (receivers, D), the biases that are in the stream when each receiver reads.
    """

    def __init__(self, model: Transformer, device: torch.device | str = "cpu"):
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=torch.float32, device=device)

        def norm(given: LayerNorm) -> Norm:
            return tensor(given.gain), tensor(given.shift), given.eps

        self.device = torch.device(device)
        self.layers, self.heads, self.width = len(model.blocks), model.heads, model.width
        self.receivers = receivers(self.layers, self.heads)
        self.edges: list[Edge] = []
        self._slices: dict[Receiver, slice] = {}
        for receiver in self.receivers:
            found = senders_of(receiver, self.layers, self.heads)
            self._slices[receiver] = slice(len(self.edges), len(self.edges) + len(found))
            self.edges += [(receiver, sender) for sender in found]
        self.biases = tensor(np.stack([full_wiring(model).constants[c] for c in self.receivers]))
        self._row = {receiver: row for row, receiver in enumerate(self.receivers)}
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
        self, token_ids: Tensor, position_ids: Tensor, scored: Tensor, multipliers: Tensor, constants: Tensor, live: frozenset[Sender]
    ) -> Tensor:
        """Logits (scored positions, V) of integers (batch, time).

        Args:
            multipliers: (edges) or (batch, edges).
            constants: (receivers, D) or (batch, receivers, D), what each receiver reads besides the senders, biases included.
            live: the senders to compute; the others count as 0.
        """
        last = since_first(scored)
        run = self._run(token_ids, position_ids, multipliers, constants, live, last)
        stream = run.stream([self.receivers[-1]], last, scored[:, -last:])[0]
        return _norm(stream, self._norm_final) @ self._unembedding

    def _run(
        self, token_ids: Tensor, position_ids: Tensor, multipliers: Tensor, constants: Tensor, live: frozenset[Sender], last: int
    ) -> "_Run":
        """All that adds to the stream; the last layer at the last positions alone, as many as `last` says."""
        run = _Run(self, multipliers, constants)
        run.add([F.embedding(ids, table) for table, ids in zip(self._embeddings, (token_ids, position_ids), strict=True)])
        for layer in range(self.layers):
            count = last if layer == self.layers - 1 else token_ids.shape[1]
            run.add(self._attention(run, layer, live, token_ids.shape[1], count))
            run.add([self._mlp(run, layer, count)] if Sender("mlp", layer) in live else [None])
        return run

    def _attention(self, run: "_Run", layer: int, live: frozenset[Sender], time: int, count: int) -> list[Tensor | None]:
        """What each head adds to the last `count` positions of the stream, (batch, count, D); None for a head that is not live."""
        block = self._blocks[layer]
        heads = [head for head in range(self.heads) if Sender("head", layer, head) in live]
        found: list[Tensor | None] = [None] * self.heads
        if not heads:
            return found
        if count == time:
            reads = run.stream([Receiver(kind, layer, h) for kind in ("query", "key", "value") for h in heads], time).split(len(heads))
            mask = None
        else:
            every = run.stream([Receiver(kind, layer, h) for kind in ("key", "value") for h in heads], time)
            reads = run.stream([Receiver("query", layer, h) for h in heads], count), *every.split(len(heads))
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
        stream = run.stream([Receiver("mlp", layer)], count)[0]
        return F.gelu(_norm(stream, block.norms[1]) @ w_in + b_in, approximate="tanh") @ w_out + b_out

    @torch.no_grad()
    def means(self, batches: Iterable["tuple[Tensor, Tensor, Tensor]"]) -> Tensor:
        """The mean of each edge's sender where it is read, (edges, D): over the scored positions for the last MLP and the output."""
        every = frozenset(sender for _, sender in self.edges)
        ones = torch.ones(len(self.edges), device=self.device)
        totals: dict[tuple[Sender, bool], Tensor] = {}
        counts = [0, 0]
        for token_ids, position_ids, scored in batches:
            run = self._run(token_ids, position_ids, ones, self.biases, every, token_ids.shape[1])
            real = scored.flip(1).cumsum(1).flip(1) > 0
            for last, where in enumerate((real, scored)):
                counts[last] += int(where.sum())
                for sender, value in zip(senders_of(self.receivers[-1], self.layers, self.heads), run.senders, strict=True):
                    assert value is not None
                    key = (sender, bool(last))
                    totals[key] = totals.get(key, torch.zeros(self.width, device=self.device)) + value[where].sum(0)
        return torch.stack([totals[sender, last] / counts[last] for receiver, sender in self.edges for last in [self._is_last(receiver)]])

    def _is_last(self, receiver: Receiver) -> bool:
        return receiver.kind == "output" or receiver == Receiver("mlp", self.layers - 1)

    def row(self, receiver: Receiver) -> int:
        """Where a receiver stands in the constants."""
        return self._row[receiver]

    def slice(self, receiver: Receiver) -> slice:
        """Where a receiver's edges stand."""
        return self._slices[receiver]

    def live(self, kept: Sequence[bool]) -> tuple[frozenset[Sender], list[bool]]:
        """The senders that the output depends on, and the edges that lead to it, of those kept."""
        live: set[Sender] = set()
        for receiver in reversed(self.receivers):
            if receiver.kind == "output" or component(receiver) in live:
                part = self._slices[receiver]
                live.update(sender for (_, sender), keep in zip(self.edges[part], kept[part], strict=True) if keep)
        reached = [
            keep and (receiver.kind == "output" or component(receiver) in live)
            for (receiver, _), keep in zip(self.edges, kept, strict=True)
        ]
        return frozenset(live), reached

    def wiring(self, multipliers: Tensor, constants: Tensor) -> Wiring:
        """The same as data; edges at 0 are left out."""
        values = multipliers.detach().double().cpu().tolist()
        rows = constants.detach().double().cpu().numpy()
        reads: dict[Receiver, dict[Sender, float]] = {receiver: {} for receiver in self.receivers}
        for (receiver, sender), value in zip(self.edges, values, strict=True):
            if value:
                reads[receiver][sender] = value
        return Wiring(reads, {receiver: rows[i] for i, receiver in enumerate(self.receivers)})


class _Run:
    """One forward pass: the senders so far."""

    def __init__(self, wired: WiredTransformer, multipliers: Tensor, constants: Tensor) -> None:
        self.wired = wired
        self.multipliers = multipliers
        self.constants = constants
        self.senders: list[Tensor | None] = []

    def add(self, values: Sequence[Tensor | None]) -> None:
        self.senders += values

    def stream(self, readers: Sequence[Receiver], count: int, where: Tensor | None = None) -> Tensor:
        """What receivers of one layer read at the last `count` positions: (receivers, batch, count, D), or (receivers, places, D) at those
        of them that `where` marks, (batch, count).
        """
        present = [i for i, sender in enumerate(self.senders) if sender is not None]
        stacked = torch.stack([value[:, -count:] for value in self.senders if value is not None])
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
