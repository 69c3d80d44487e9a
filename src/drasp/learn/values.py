"""What a model's heads move, and who reads it: the circuit that is left when attention is taken as it is.

No gradient is needed: edges go one after the other or in chunks, those first whose removal alone costs least.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.circuit import Circuit, Edges
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.tuning import ValueTuning
from drasp.model.frozen import FrozenTransformer
from drasp.model.wiring import Receiver, Sender
from drasp.run.gated import Executor


@dataclass(frozen=True)
class Source:
    """A variable as it reaches a reader: a token or position, averaged by heads, the last of them first.

    Attributes:
        heads: none where it is that of the reader's own position.
    """

    heads: tuple[Sender, ...]
    of: Literal["token", "pos"]

    def under(self, head: Sender) -> "Source":
        """Averaged by one more."""
        return Source((head, *self.heads), self.of)


@dataclass(frozen=True)
class Attended:
    """Sequences, and for each head what it attends to: (batch, time, time)."""

    batch: Batch
    attention: Mapping[Sender, Tensor]


def attended(oracle: Oracle, tuning: ValueTuning, budget: Budget) -> list[Attended]:
    """Some of the sequences to fit on, with the model's attention."""
    found = []
    for batch in [*oracle.short[:: tuning.short_every], *oracle.long[:: tuning.long_every]]:
        budget.spend(oracle.study.work)
        found.append(Attended(batch, oracle.study.oracle.attention(batch.token_ids, batch.position_ids)))
    return found


def value_circuit(edges: Edges, sequences: Sequence[Attended], least: float, tuning: ValueTuning, budget: Budget) -> Circuit:
    """The smallest circuit found that still matches on `least` of the sequences, attention as it is in the model."""
    return _Pruning(edges, sequences, tuning, budget).pruned(least)


def sources(circuit: Circuit) -> tuple[Source, ...]:
    """What the output of a circuit depends on, but for attention; what an MLP computes counts as what it reads."""
    reads: dict[Receiver, list[Sender]] = {}
    for (receiver, sender), kept in zip(circuit.wired.edges, circuit.kept, strict=True):
        if kept:
            reads.setdefault(receiver, []).append(sender)

    def brought(sender: Sender) -> list[Source]:
        if sender.kind in ("token", "pos"):
            return [Source((), "token" if sender.kind == "token" else "pos")]
        if sender.kind == "mlp":
            return read_by(Receiver("mlp", sender.layer))
        return [source.under(sender) for source in read_by(Receiver("value", sender.layer, sender.head))]

    def read_by(receiver: Receiver) -> list[Source]:
        return list(dict.fromkeys(source for sender in reads.get(receiver, []) for source in brought(sender)))

    return tuple(read_by(circuit.wired.receivers[-1]))


@dataclass(frozen=True)
class Patched:
    """The model with the attention of a program in the place of its own.

    Attributes:
        left: what is not ablated.
        heads: for each head that is patched the selectors that stand for it; none for the uniform average.
    """

    left: Circuit
    oracle: Oracle
    frozen: FrozenTransformer
    heads: Mapping[Sender, tuple[str, ...]]

    def logits(self, executor: Executor, part: Attended) -> Tensor:
        """Logits (scored positions, vocabulary); they have a gradient in the matrices of the program's selectors."""
        batch, left = part.batch, self.left
        found = executor.attention(batch.token_ids, batch.position_ids)
        uniform = executor.uniform(batch.token_ids)
        frozen = copy(self.frozen)  # several batches are worked on at once
        patched = {head: found.get(selectors, uniform).expand(batch.sequences, -1, -1) for head, selectors in self.heads.items()}
        frozen.attention = {**part.attention, **patched}
        live, _ = frozen.live(left.kept)
        return frozen.logits(batch.token_ids, batch.position_ids, batch.scored, left.multipliers, left.constants, live)

    @torch.no_grad()
    def match(self, program: Program, sequences: Sequence[Attended], budget: Budget) -> float:
        """The share of the sequences on which the patched model predicts what the model predicts, see `by_halves`."""
        executor = Executor(program, self.oracle.device)

        def logits(part: Attended) -> Tensor:
            budget.spend(len(program.statements) + self.oracle.study.work)
            return self.logits(executor, part)

        return by_halves(self.oracle, sequences, logits)


def by_halves(oracle: Oracle, sequences: Sequence[Attended], logits: Callable[[Attended], Tensor]) -> float:
    """The share of the sequences on which some logits (scored positions, vocabulary) predict what the model predicts: in the shorter or the
    longer half of the batches, whichever is worse.
    """
    by_length = sorted(sequences, key=lambda part: part.batch.token_ids.shape[1])
    half = (len(by_length) + 1) // 2
    shares = []
    for parts in filter(None, (by_length[:half], by_length[half:])):
        missed = sum(int((~oracle.matches(logits(part), part.batch)).sum()) for part in parts)
        shares.append(1 - missed / sum(part.batch.sequences for part in parts))
    return min(shares)


class _Pruning:
    """The removal of edges from the model with its attention frozen."""

    def __init__(self, edges: Edges, sequences: Sequence[Attended], tuning: ValueTuning, budget: Budget) -> None:
        self.edges, self.sequences, self.tuning, self.budget = edges, sequences, tuning, budget
        self.frozen = FrozenTransformer(edges.oracle.study.transformer, edges.oracle.device)

    def pruned(self, least: float) -> Circuit:
        attention = [i for i, (receiver, _) in enumerate(self.edges.wired.edges) if receiver.kind in ("query", "key")]
        multipliers = self.edges.whole.multipliers.clone()
        multipliers[attention] = 0  # not needed where attention is given, and so not replaced by their means
        circuit = self.edges.without(replace(self.edges.whole, multipliers=multipliers), [])
        for _ in range(self.tuning.rounds):
            smaller = self._swept(circuit, least)
            if smaller.edges == circuit.edges:
                break
            circuit = smaller
        return circuit

    def _swept(self, circuit: Circuit, least: float) -> Circuit:
        """One round: the edges by what each costs alone, in chunks that match bears."""
        pending = self._by_cost(circuit)
        chunk = max(1, len(pending) // 2)
        while pending:
            smaller = self.edges.without(circuit, pending[:chunk])
            if smaller.edges < circuit.edges and self._match(smaller, least) >= least:
                circuit, pending = smaller, pending[chunk:]
                chunk *= 2
            elif chunk > 1:
                chunk //= 2
            else:
                pending = pending[1:]
        return circuit

    def _by_cost(self, circuit: Circuit) -> list[int]:
        kept = [i for i, keep in enumerate(circuit.kept) if keep]
        cost = {i: self._loss(self.edges.without(circuit, [i])) for i in kept}
        return sorted(kept, key=cost.__getitem__)

    @torch.no_grad()
    def _loss(self, circuit: Circuit) -> float:
        few = self.sequences[:: self.tuning.loss_every]
        return sum(float(self.edges.oracle.loss(self._logits(circuit, part), part.batch, "soft").mean()) for part in few)

    @torch.no_grad()
    def _match(self, circuit: Circuit, least: float) -> float:
        """The share of the sequences that match; 0 where it must be below `least`."""
        count, missed = sum(part.batch.sequences for part in self.sequences), 0
        for part in self.sequences:
            missed += int((~self.edges.oracle.matches(self._logits(circuit, part), part.batch)).sum())
            if 1 - missed / count < least:
                return 0.0
        return 1 - missed / count

    def _logits(self, circuit: Circuit, part: Attended) -> Tensor:
        self.budget.spend(circuit.edges)
        batch, (live, _) = part.batch, self.frozen.live(circuit.kept)
        self.frozen.attention = part.attention
        return self.frozen.logits(batch.token_ids, batch.position_ids, batch.scored, circuit.multipliers, circuit.constants, live)
