"""The circuit: which embeddings, heads and MLPs each query, key, value, MLP and the output really need.

First gates on every edge, sampled for each sequence, turn off what is worth least under a rising sparsity coefficient (hard concrete:
Louizos, Welling and Kingma 2018); then edges go one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from drasp.core.budget import Budget
from drasp.core.journal import digest
from drasp.core.parallel import in_order
from drasp.ir.program import Header, Program
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Circuit, Edges
from drasp.learn.delta import in_chunks
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Study
from drasp.learn.trial import Doing, Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.refit import in_rounds
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify

Removal = tuple[int, ...]
"""Edges by their place in `WiredTransformer.edges`, to be removed together."""


class TooLarge(Exception):
    """What is left of a model cannot be pruned line by line."""


def prune_circuit(edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Circuits with ever fewer edges that still predict what the model predicts; the last of them, expanded.

    Raises:
        TooLarge: it would have too many lines.
    """
    search = _CircuitSearch(edges, oracle, aim, budget)
    circuit = yield from search.annealed()
    if circuit is edges.whole:
        yield Found(circuit)
    circuit = yield from search.eliminated(circuit)
    program = expand(circuit, oracle, aim)
    yield Found(program)
    return program


def expand(circuit: Circuit, oracle: Oracle, aim: Aim) -> Program:
    """The program of a circuit, every value path a line.

    Raises:
        TooLarge: it would have too many lines.
    """
    wiring = circuit.wiring
    expanded = expanded_statements(wiring)
    if expanded > aim.prune.expanded:
        raise TooLarge(f"what is left of the model has {expanded} statements expanded; the search takes {aim.prune.expanded} at most")
    return simplify(lift(oracle.study.transformer, header_of(oracle.study), wiring))


def header_of(study: Study) -> Header:
    """The header of every program of the model under study."""
    task, model = study.task, study.transformer
    return Header(
        task.vocabulary,
        model.positions,
        task.predict,
        getattr(task, "order", None),
        model.bidirectional,
        None if model.padding is None else task.vocabulary[model.padding],
        getattr(task, "outputs", None),
    )


class _CircuitSearch:
    """One search, with what it rests on."""

    def __init__(self, edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> None:
        self.edges, self.oracle, self.aim, self.budget = edges, oracle, aim, budget

    def annealed(self) -> Steps[Circuit]:
        """The smallest circuit on the way that keeps match: of the coefficients that are known already the last, then of further ones."""
        tuning, stages = self.aim.circuit, self.edges.annealed
        best, known, failures = self.edges.whole, len(stages), 0

        def new(number: int) -> bool:
            """Whether there is something new to judge."""
            return number == 0 or stages[number].circuit.kept != stages[number - 1].circuit.kept

        for number in filter(new, reversed(range(known))):
            circuit = yield from self._judged(number)
            if circuit is not None:
                best = circuit
                break
            failures += 1
        for number in range(known, tuning.coefficients):
            if failures >= tuning.failures:
                break
            left = stages[-1].circuit.edges if stages else best.edges
            yield Doing(f"sparsity coefficient {tuning.coefficient(number):.2g} on {left} edges")
            self.edges.anneal(tuning, self.aim.refit.rate, self.budget)
            if new(number):
                circuit = yield from self._judged(number)
                failures = failures + 1 if circuit is None else 0
                best = circuit or best
        return best

    def _judged(self, number: int) -> Steps[Circuit | None]:
        """The circuit of a stage, refitted where that is needed; None where it does not keep match."""
        stage = self.edges.annealed[number]
        circuit, match = yield from self._standing(number)
        if match < self.aim.threshold and (stage.refitted is None or match >= self.aim.promising):
            circuit, match = yield from self._refitted(circuit, match, f"{circuit.edges} edges, refitted")
            self.edges.annealed[number] = replace(stage, refitted=circuit)
        if match < self.aim.threshold:
            return None
        yield Found(circuit)
        return circuit

    def _standing(self, number: int) -> Steps[tuple[Circuit, float]]:
        """The circuit to judge a stage by, and its match: as it was last fitted, or else without what was learned of the constants by the
        way, which were for gates half open, unless that is worse.
        """
        stage = self.edges.annealed[number]
        trying = f"{stage.circuit.edges} edges"
        if stage.refitted is not None:
            match = yield Trial(stage.refitted, trying, self.aim.promising)
            return stage.refitted, match
        plain = self.edges.without(self.edges.whole, [i for i, keep in enumerate(stage.circuit.kept) if not keep])
        match = yield Trial(plain, trying, self.aim.promising)
        learned = yield Trial(stage.circuit, trying, match)
        return (stage.circuit, learned) if learned > match else (plain, match)

    def _refitted(self, circuit: Circuit, match: float, trying: str) -> Steps[tuple[Circuit, float]]:
        """The circuit fitted as long as that is promising; the best, and its match. `match`: of the circuit as it is."""
        how = self.aim.refit

        def again(last: Circuit, round_: int, rate: float) -> Circuit:
            return self.edges.fit(last, Schedule(how, rate, self.oracle.seed + round_), self.budget)

        return (yield from in_rounds(circuit, match, again, trying, self.aim))

    def eliminated(self, circuit: Circuit) -> Steps[Circuit]:
        """Removes edges in order of what they are worth: all that need no refit, then, refitted, several at once or one of the first few.

        What needs more patience is left to the search line by line, which has less to lose at a time.
        """
        failed: list[Sequence[Removal]] = []
        while True:
            order = self._by_worth(circuit)
            smaller = yield from self._swept(circuit, order)
            for removals in [] if smaller else _attempts(order, failed, self.aim.circuit.tried_alone):
                trying = f"without {sum(map(len, removals))} of {circuit.edges} edges"
                left = self.edges.without(circuit, [i for removal in removals for i in removal])
                unfitted = yield Trial(left, trying, self.aim.promising)
                candidate, match = yield from self._refitted(left, unfitted, f"{trying}, refitted")
                if match >= self.aim.threshold:
                    smaller = candidate
                    break
                failed.append(removals)
            if smaller is None:
                return circuit
            circuit = smaller
            yield Found(circuit)

    def _by_worth(self, circuit: Circuit) -> list[Removal]:
        """The removals by the loss that each brings for every edge that goes with it."""
        every, targets = _removals(self.edges, circuit), self.aim.refit.targets

        def ask() -> list[int]:
            work = circuit.edges * len(self.oracle.sample)
            before = self.edges.loss(circuit, targets)
            self.budget.spend(work)

            def worth(removal: Removal) -> float:
                smaller = self.edges.without(circuit, removal)
                return (self.edges.loss(smaller, targets) - before) / (circuit.edges - smaller.edges)

            worths = []
            for found in in_order(worth, every, self.budget):
                self.budget.check()
                self.budget.charge(work)
                worths.append(found)
            return sorted(range(len(every)), key=worths.__getitem__)

        return [every[i] for i in self.oracle.journal.once("order of edges", digest(circuit.digest, targets), ask, self.budget)]

    def _swept(self, circuit: Circuit, order: Sequence[Removal]) -> Steps[Circuit | None]:
        """Makes the removals that need no refit; None where there is none."""

        def without(current: Circuit, removals: Sequence[Removal]) -> Circuit | None:
            smaller = self.edges.without(current, [i for removal in removals for i in removal])
            return smaller if smaller.edges < current.edges else None

        def keeps(smaller: Circuit) -> Steps[bool]:
            return (yield Trial(smaller, f"{smaller.edges} edges", self.aim.threshold)) >= self.aim.threshold

        return (yield from in_chunks(circuit, order, without, keeps, self.aim.prune.sweep_failures))


def _attempts(order: Sequence[Removal], failed: Sequence[Sequence[Removal]], alone: int) -> Iterator[Sequence[Removal]]:
    """What to try with a refit: the half that is worth least, a quarter, and so on; then one by one the first few.

    Args:
        failed: what was tried before; as many at once are not tried again.
        alone: how many are tried one by one.
    """
    fewest = min((len(removals) for removals in failed if len(removals) > 1), default=len(order))
    count = len(order) // 2
    while count > 1:
        if count < fewest:
            yield [removal for removal in order if len(removal) == 1][:count]
        count //= 2
    yield from ([removal] for removal in [r for r in order if [r] not in failed][:alone])


def _removals(edges: Edges, circuit: Circuit) -> list[Removal]:
    """Every edge alone, and all edges from one sender together."""
    kept = [i for i, keep in enumerate(circuit.kept) if keep]
    found: list[Removal] = [(i,) for i in kept]
    for sender in dict.fromkeys(edges.wired.edges[i][1] for i in kept):
        found.append(tuple(i for i in kept if edges.wired.edges[i][1] == sender))
    return list(dict.fromkeys(found))
