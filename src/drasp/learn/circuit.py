"""Circuits: a model with some of the edges between its components ablated, and how its constants and gates are fitted.

There are some hundred edges where the expanded program has thousands of lines. LayerNorm stays exact: what an edge brought is replaced by
its mean in the stream before the norm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.journal import digest
from drasp.core.seeds import Stream
from drasp.learn.adam import Adam, Objective, Schedule, adam
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch, charged
from drasp.learn.tuning import CircuitTuning, Targets
from drasp.model.wired import WiredTransformer
from drasp.model.wiring import Wiring


@dataclass(frozen=True)
class Circuit:
    """A model with a multiplier on every edge.

    Attributes:
        multipliers: (edges), 0 where an edge is ablated.
        constants: (receivers, D), see `WiredTransformer.logits`.
    """

    wired: WiredTransformer = field(repr=False)
    multipliers: Tensor
    constants: Tensor

    @cached_property
    def kept(self) -> list[bool]:
        return (self.multipliers != 0).tolist()

    @property
    def edges(self) -> int:
        return int((self.multipliers != 0).sum())

    @property
    def wiring(self) -> Wiring:
        return self.wired.wiring(self.multipliers, self.constants)

    @cached_property
    def digest(self) -> str:
        return digest(self.multipliers.cpu().numpy(), self.constants.cpu().numpy())

    def scored_logits(self, batch: Batch) -> Tensor:
        """Logits (scored positions, vocabulary)."""
        return gated_logits(self, batch, self.multipliers, self.constants)


def gated_logits(circuit: Circuit, batch: Batch, multipliers: Tensor, constants: Tensor) -> Tensor:
    """Logits (scored positions, vocabulary) with other multipliers, (edges) or (batch, edges), on the edges that the circuit keeps."""
    live, _ = circuit.wired.live(circuit.kept)
    return circuit.wired.logits(batch.token_ids, batch.position_ids, batch.scored, multipliers, constants, live)


@dataclass(frozen=True)
class Annealed:
    """Where the search stands after some steps at one sparsity coefficient; it does not depend on the match that is asked for.

    Attributes:
        odds: (edges), the log odds of the gates.
        refitted: the circuit as it was last fitted.
    """

    circuit: Circuit
    odds: Tensor
    refitted: Circuit | None = None


class Edges:
    """The model edge by edge: what each edge brings on the average, and what was annealed so far.

    Attributes:
        whole: the circuit that is the model itself.
        means: (edges, D), what ablates each edge.
        annealed: of ever higher sparsity coefficients. A search with another threshold goes on from here.
    """

    def __init__(self, oracle: Oracle, unit_floor: float, budget: Budget) -> None:
        wired = WiredTransformer(oracle.study.transformer, oracle.device)
        self.oracle, self.wired = oracle, wired
        self.whole = Circuit(wired, torch.ones(len(wired.edges), device=oracle.device), wired.biases)
        batches = charged(oracle.sample, len(wired.edges), budget)
        self.means = wired.means((b.token_ids, b.position_ids, b.scored) for b in batches)
        self.rows = torch.tensor([wired.row(receiver) for receiver, _ in wired.edges], device=oracle.device)
        spread = torch.zeros(len(wired.receivers), device=oracle.device)
        self.unit = spread.index_add(0, self.rows, self.means.square().mean(1)).sqrt().clamp(min=unit_floor)[:, None]
        self.annealed: list[Annealed] = []

    def without(self, circuit: Circuit, removed: Sequence[int]) -> Circuit:
        """Edges ablated, and with them those that nothing needs any more."""
        gone = torch.zeros_like(circuit.multipliers)
        gone[list(removed)] = 1
        gone = gone * circuit.multipliers
        constants = circuit.constants.index_add(0, self.rows, gone[:, None] * self.means)
        multipliers = circuit.multipliers - gone
        _, reached = self.wired.live((multipliers != 0).tolist())
        return Circuit(self.wired, torch.where(torch.tensor(reached, device=multipliers.device), multipliers, 0.0), constants)

    @torch.no_grad()
    def loss(self, circuit: Circuit, targets: Targets) -> float:
        found = [self.oracle.loss(circuit.scored_logits(b), b, targets).mean() for b in self.oracle.sample]
        return float(torch.stack(found).mean())

    def fit(self, circuit: Circuit, schedule: Schedule, budget: Budget) -> Circuit:
        """The circuit with multipliers and constants fitted to the model's predictions."""
        about = digest(circuit.digest, schedule)
        multipliers, constants = self._once("fit of a circuit", about, lambda: self._fitted(circuit, schedule, budget), budget)
        return Circuit(self.wired, multipliers, constants)

    def _fitted(self, circuit: Circuit, schedule: Schedule, budget: Budget) -> tuple[Tensor, Tensor]:
        mask = (circuit.multipliers != 0).float()
        factors = torch.ones_like(circuit.multipliers, requires_grad=True)
        shifts = torch.zeros_like(circuit.constants, requires_grad=True)

        def loss(batch: Batch) -> Tensor:
            found = gated_logits(circuit, batch, circuit.multipliers * factors * mask, circuit.constants + self.unit * shifts)
            return self.oracle.loss(found, batch, schedule.how.targets).mean()

        adam(Objective([factors, shifts], loss, circuit.edges), self.oracle, schedule, budget)
        return circuit.multipliers * factors.detach(), circuit.constants + self.unit * shifts.detach()

    def anneal(self, tuning: CircuitTuning, rate: float, budget: Budget) -> None:
        """Some steps at the next sparsity coefficient, after which the edges whose gates closed are gone (Louizos, Welling and Kingma,
        "Learning sparse neural networks through L0 regularization", 2018; one sample a sequence).
        """
        start = torch.full_like(self.whole.multipliers, tuning.open_at_start)
        last = self.annealed[-1] if self.annealed else Annealed(self.whole, start)
        gates = _Gates(self, last, tuning, tuning.coefficient(len(self.annealed)))
        about = digest(last.circuit.digest, last.odds.cpu().numpy(), gates.coefficient, rate)
        found = self._once("annealing", about, lambda: self._stepped(gates, rate, budget), budget)
        self.annealed.append(Annealed(Circuit(self.wired, found[0], found[1]), found[2]))

    def _stepped(self, gates: "_Gates", rate: float, budget: Budget) -> tuple[Tensor, ...]:
        last = gates.circuit
        optimiser = Adam([gates.odds, gates.shifts], [gates.tuning.gate_rate, rate], 1e-6)
        rng = np.random.default_rng([self.oracle.seed, Stream.GATES, gates.seed])
        for _ in range(gates.tuning.steps):
            budget.check()
            batches = self.oracle.draw(rng, "soft")
            optimiser.descend(gates.loss, [(batch, gates.noise(batch.sequences), len(batches)) for batch in batches])
            budget.charge(last.edges * len(batches), gradients=True)
        odds = gates.odds.detach()
        closed = [i for i, (value, keep) in enumerate(zip(odds.tolist(), last.kept, strict=True)) if keep and value < 0]
        shifted = Circuit(self.wired, last.multipliers, last.constants + self.unit * gates.shifts.detach())
        left = self.without(shifted, closed)
        return left.multipliers, left.constants, odds

    def _once(self, question: str, about: str, ask: Callable[[], tuple[Tensor, ...]], budget: Budget) -> list[Tensor]:
        """Tensors through the journal."""
        arrays = self.oracle.journal.once(question, about, lambda: [tensor.cpu().numpy() for tensor in ask()], budget)
        return [torch.from_numpy(array).to(self.oracle.device) for array in arrays]


class _Gates:
    """Hard-concrete gates on the edges of a circuit, with a penalty on each that is open (Louizos, Welling and Kingma, "Learning sparse
    neural networks through L0 regularization", 2018).

    Attributes:
        coefficient: of sparsity, in nats an edge and scored position.
    """

    def __init__(self, edges: Edges, last: Annealed, tuning: CircuitTuning, coefficient: float) -> None:
        self.edges, self.circuit, self.tuning, self.coefficient = edges, last.circuit, tuning, coefficient
        self.odds = last.odds.clone().requires_grad_()
        self.shifts = torch.zeros_like(last.circuit.constants, requires_grad=True)
        self.seed = int(1e6 * coefficient)
        self.generator = torch.Generator(device=edges.oracle.device).manual_seed(edges.oracle.seed * 10_000 + self.seed)
        self.mask = (last.circuit.multipliers != 0).float()
        self.carried = last.circuit.multipliers[:, None] * edges.means

    def noise(self, count: int) -> Tensor:
        """Uniform noise, (count, edges)."""
        return torch.rand(count, len(self.odds), generator=self.generator, device=self.generator.device).clamp(1e-6, 1 - 1e-6)

    def loss(self, part: tuple[Batch, Tensor, int]) -> Tensor:
        """The loss on a batch with one sample of the gates a sequence, of so many batches of a step."""
        batch, uniform, parts = part
        tuning, circuit, edges = self.tuning, self.circuit, self.edges
        gates = self._sampled(uniform) * self.mask
        removed = (1 - gates)[:, :, None] * self.carried
        constants = (circuit.constants + edges.unit * self.shifts).expand(len(gates), -1, -1).index_add(1, edges.rows, removed)
        found = gated_logits(circuit, batch, gates * circuit.multipliers, constants)
        open_share = torch.sigmoid(self.odds - tuning.temperature * log(-tuning.stretch_low / tuning.stretch_high))
        own = edges.oracle.loss(found, batch, "soft").mean()
        return (own + self.coefficient * (open_share * self.mask).sum()) / parts

    def _sampled(self, uniform: Tensor) -> Tensor:
        """Gates (count, edges): 0 or 1 with a chance, between them otherwise."""
        tuning = self.tuning
        soft = torch.sigmoid((uniform.log() - (1 - uniform).log() + self.odds) / tuning.temperature)
        return (soft * (tuning.stretch_high - tuning.stretch_low) + tuning.stretch_low).clamp(0, 1)
