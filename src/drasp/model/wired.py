"""A Transformer whose components read each other through multipliers: the executor of the component-level search.

It means what `drasp.rewrite.lift` makes of a wiring, and is tested against it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drasp.model.parts.masks import Seen
from drasp.model.parts.mlp import TorchMlp
from drasp.model.parts.norms import TorchNorm
from drasp.model.parts.positions import TorchRotary
from drasp.model.transformer import Block, Transformer
from drasp.model.wiring import Receiver, Sender, Wiring, anatomy, component, full_wiring
from drasp.run.gated import since_first

Edge = tuple[Receiver, Sender]


class Layer:
    """One block's weights; those of queries, keys and values come in that order, each with the heads in front."""

    def __init__(self, given: Block, like: Tensor) -> None:
        self.norms = TorchNorm(given.norm_attention, like), TorchNorm(given.norm_mlp, like)
        self.order, self.scale = given.order, given.scale
        self.weights = tuple(like.new_tensor(w) for w in (given.w_query, given.w_key, given.w_value))
        self.biases = tuple(like.new_tensor(b)[:, None, None] for b in (given.b_query, given.b_key, given.b_value))
        self.out = like.new_tensor(given.w_head_out)
        self.mlp = None if given.mlp is None else TorchMlp(given.mlp, like)

    def before(self, x: Tensor, part: int) -> Tensor:
        """What attention (0) or the MLP (1) reads of the stream."""
        return x if self.order == "post" else self.norms[part](x)


@dataclass(frozen=True)
class Given:
    """What is run.

    Attributes:
        token_ids, position_ids: (batch, time).
        live: the senders to compute; the others count as 0.
        last: at how many positions, the last ones, the last layer is computed.
    """

    token_ids: Tensor
    position_ids: Tensor
    live: frozenset[Sender]
    last: int

    @property
    def time(self) -> int:
        return self.token_ids.shape[1]


class WiredTransformer:
    """A Transformer ready to run, edge by edge, in float32 on one device.

    Attributes:
        edges: every pair of a receiver and a sender, receiver by receiver; multipliers come in this order.
        receivers: those of all edges, in the order in which they read; constants come in this order.
        biases: (receivers, D), the biases that are in the stream when each receiver reads.
    """

    def __init__(self, model: Transformer, device: torch.device | str = "cpu"):
        like = torch.empty(0, dtype=torch.float32, device=device)
        self.device = torch.device(device)
        self.layers, self.heads, self.width = len(model.blocks), model.heads, model.width
        self.senders = anatomy(model)
        self.receivers = list(self.senders)
        self.edges: list[Edge] = []
        self._slices: dict[Receiver, slice] = {}
        for receiver, senders in self.senders.items():
            self._slices[receiver] = slice(len(self.edges), len(self.edges) + len(senders))
            self.edges += [(receiver, sender) for sender in senders]
        self.biases = like.new_tensor(np.stack(list(full_wiring(model).constants.values())))
        self._row = {receiver: row for row, receiver in enumerate(self.receivers)}
        self._token_embedding = like.new_tensor(model.token_embedding)
        self._position_embedding = like.new_tensor(model.position_embedding) if model.embeds_positions else None
        self._unembedding = like.new_tensor(model.unembedding)
        self._unembedding_bias = like.new_tensor(model.unembedding_bias)
        self._norm_final = TorchNorm(model.norm_final, like)
        self._seen = Seen(model)
        self._turn = None if model.rotary is None else TorchRotary(model.rotary, model.positions, like)
        self.blocks = [Layer(block, like) for block in model.blocks]

    def logits(
        self, token_ids: Tensor, position_ids: Tensor, scored: Tensor, multipliers: Tensor, constants: Tensor, live: frozenset[Sender]
    ) -> Tensor:
        """Logits (scored positions, outputs) of integers (batch, time).

        Args:
            multipliers: (edges) or (batch, edges).
            constants: (receivers, D) or (batch, receivers, D), what each receiver reads besides the senders, biases included.
            live: the senders to compute; the others count as 0.
        """
        last = since_first(scored)
        run = self._run(Given(token_ids, position_ids, live, last), multipliers, constants)
        stream = run.stream([self.receivers[-1]], last, scored[:, -last:])[0]
        return self._norm_final(stream) @ self._unembedding + self._unembedding_bias

    def _run(self, given: Given, multipliers: Tensor, constants: Tensor) -> "Run":
        """All that adds to the stream; the last layer at the last positions alone."""
        run = Run(self, multipliers, constants)
        run.senders[Sender("token")] = F.embedding(given.token_ids, self._token_embedding)
        if self._position_embedding is not None:
            run.senders[Sender("pos")] = F.embedding(given.position_ids, self._position_embedding)
        for layer, block in enumerate(self.blocks):
            count = given.last if layer == self.layers - 1 else given.time
            self._attention(run, layer, given, count)
            for receiver in (Receiver("norm", layer, 0), Receiver("mlp", layer), Receiver("norm", layer, 1)):
                if receiver in self.senders and component(receiver) in given.live:
                    stream = run.stream([receiver], count)[0]
                    if receiver.kind == "norm":
                        run.senders[component(receiver)] = block.norms[receiver.head](stream)
                    else:
                        assert block.mlp is not None
                        run.senders[component(receiver)] = block.mlp(block.before(stream, 1))
        return run

    def _attention(self, run: "Run", layer: int, given: Given, count: int) -> None:
        """What each live head adds to the last `count` positions of the stream, (batch, count, D)."""
        block, time = self.blocks[layer], given.time
        heads = self._live_heads(layer, given)
        if not heads:
            return
        if count == time:
            reads = run.stream([Receiver(kind, layer, h) for kind in ("query", "key", "value") for h in heads], time).split(len(heads))
        else:
            every = run.stream([Receiver(kind, layer, h) for kind in ("key", "value") for h in heads], time)
            reads = run.stream([Receiver("query", layer, h) for h in heads], count), *every.split(len(heads))
        mask = self._seen.mask(given.token_ids, count)
        query, key, value = (
            torch.einsum("hbtd,hde->hbte", block.before(part, 0), weight[heads]) + bias[heads]
            for part, weight, bias in zip(reads, block.weights, block.biases, strict=True)
        )
        if self._turn is not None:
            query, key = self._turn(query, given.position_ids[:, -count:]), self._turn(key, given.position_ids)
        if mask is not None and len(mask) > 1:
            mask = mask[:, 0]  # (batch, 1, time), the heads in front
        averaged = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, scale=block.scale)
        self._put_out(run, layer, heads, averaged)

    def _live_heads(self, layer: int, given: Given) -> list[int]:
        return [head for head in range(self.heads) if Sender("head", layer, head) in given.live]

    def _put_out(self, run: "Run", layer: int, heads: Sequence[int], averaged: Tensor) -> None:
        """What heads add to the stream where they have read (heads, batch, count, Dh)."""
        for head, out in zip(heads, torch.einsum("hbte,hed->hbtd", averaged, self.blocks[layer].out[heads]), strict=True):
            run.senders[Sender("head", layer, head)] = out

    @torch.no_grad()
    def means(self, batches: Iterable["tuple[Tensor, Tensor, Tensor]"]) -> Tensor:
        """The mean of each edge's sender where it is read, (edges, D): over the scored positions for what reads in the last layer what no
        other position reads.
        """
        every = frozenset(sender for _, sender in self.edges)
        ones = torch.ones(len(self.edges), device=self.device)
        totals: dict[tuple[Sender, bool], Tensor] = {}
        counts = [0, 0]
        for token_ids, position_ids, scored in batches:
            run = self._run(Given(token_ids, position_ids, every, token_ids.shape[1]), ones, self.biases)
            for last, where in enumerate((self._seen.read(token_ids, scored), scored)):
                counts[last] += int(where.sum())
                for sender, value in run.senders.items():
                    key = (sender, bool(last))
                    totals[key] = totals.get(key, torch.zeros(self.width, device=self.device)) + value[where].sum(0)
        return torch.stack([totals[sender, last] / counts[last] for receiver, sender in self.edges for last in [self._is_last(receiver)]])

    def _is_last(self, receiver: Receiver) -> bool:
        return receiver.kind == "output" or (receiver.kind in ("mlp", "norm") and receiver.layer == self.layers - 1)

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


class Run:
    """One forward pass.

    Attributes:
        senders: those that are computed, (batch, positions, D) each: all positions, or the last of them.
    """

    def __init__(self, wired: WiredTransformer, multipliers: Tensor, constants: Tensor) -> None:
        self.wired = wired
        self.multipliers = multipliers
        self.constants = constants
        self.senders: dict[Sender, Tensor] = {}

    def stream(self, readers: Sequence[Receiver], count: int, where: Tensor | None = None) -> Tensor:
        """What receivers of one layer read at the last `count` positions: (receivers, batch, count, D), or (receivers, places, D) at those
        of them that `where` marks, (batch, count).
        """
        senders = self.wired.senders[readers[0]]
        present = [i for i, sender in enumerate(senders) if sender in self.senders]
        gates = torch.stack([self.multipliers[..., self.wired.slice(c)][..., present] for c in readers])
        constants = torch.stack([self.constants[..., self.wired.row(c), :] for c in readers])
        every = self.senders[Sender("token")]
        stacked = every.new_zeros(0, len(every), count, every.shape[2])
        if present:
            stacked = torch.stack([self.senders[senders[i]][:, -count:] for i in present])
        if where is not None:
            places = where.flatten().nonzero()[:, 0]
            rows = places // count
            stacked = stacked.flatten(1, 2).index_select(1, places)
            gates = gates[:, rows] if gates.dim() == 3 else gates
            constants = constants[:, rows] if constants.dim() == 3 else constants[:, None]
            return torch.einsum("cns,snd->cnd" if gates.dim() == 3 else "cs,snd->cnd", gates, stacked) + constants
        constants = constants[:, :, None] if constants.dim() == 3 else constants[:, None, None]
        return torch.einsum("cbs,sbtd->cbtd" if gates.dim() == 3 else "cs,sbtd->cbtd", gates, stacked) + constants
