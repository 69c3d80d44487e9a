"""How the search for a circuit goes about what it tries: under a rising sparsity coefficient, then several edges at once."""

from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.journal import Journal
from drasp.learn.circuit import Annealed, Circuit
from drasp.learn.tuning import CircuitTuning, PruneTuning, RefitTuning
from drasp.model.wiring import Wiring
from drasp.passes.aim import Aim
from drasp.passes.circuit import TooLarge, prune_circuit
from driving import drive

AIM = Aim(0.95, RefitTuning(hopeless=0.1, rounds=1), prune=PruneTuning(expanded=-1))  # no circuit is expanded
COEFFICIENTS, FAILURES, TRIED_ALONE = AIM.circuit.coefficients, AIM.circuit.failures, AIM.circuit.tried_alone
ALONE = replace(AIM, circuit=replace(CircuitTuning(), coefficients=0))  # without annealing


class Line:
    """Stands in for `Edges`. Each edge has a sender of its own; the first is worth least, and every coefficient turns the last one off."""

    def __init__(self, count):
        self.wired = SimpleNamespace(edges=[("output", place) for place in range(count)], wiring=lambda *_: Wiring({}, {}))
        self.whole = self.of(range(count))
        self.annealed, self.fitted = [], []

    def of(self, kept):
        """The circuit of some edges."""
        multipliers = torch.zeros(len(self.wired.edges))
        multipliers[list(kept)] = 1
        return Circuit(self.wired, multipliers, torch.zeros(1))

    def without(self, circuit, removed):
        return self.of(kept(circuit) - set(removed))

    def anneal(self, tuning, rate, budget):
        last = self.annealed[-1].circuit if self.annealed else self.whole
        self.annealed.append(self.stage(last.edges - 1))

    def stage(self, count, refitted=None):
        return Annealed(self.of(range(count)), torch.zeros(1), refitted)

    def fit(self, circuit, schedule, budget):
        self.fitted.append(circuit.edges)
        return Circuit(self.wired, circuit.multipliers * 2, circuit.constants)

    def loss(self, circuit, targets):
        return -float(sum(place + 1 for place in kept(circuit)))


def kept(circuit):
    return {place for place, keep in enumerate(circuit.kept) if keep}


@pytest.fixture
def edges():
    return COEFFICIENTS + 1


def stop(*_):
    """In place of `Journal.once`: the first question is the order in which edges go one by one."""
    raise OutOfBudget


STOPPING = SimpleNamespace(journal=SimpleNamespace(once=stop), seed=0)


def annealing(line, matches, gain=0.0):
    """How many edges were kept, judged, and refitted while the coefficient rose; `matches`: by how many edges, and what a refit adds."""

    def match(trial):
        return matches.get(trial.candidate.edges, 0.0) + gain * trial.trying.endswith("refitted")

    line.fitted = []
    trials, found = [], []
    with suppress(OutOfBudget):
        drive(prune_circuit(line, STOPPING, AIM, Budget.of_seconds()), match, trials, found)
    judged = dict.fromkeys(trial.candidate.edges for trial in trials if not trial.trying.endswith("refitted"))
    return [circuit.edges for circuit in found if circuit is not line.whole], list(judged), line.fitted


def test_it_goes_on_while_match_holds(edges):
    found, _, refitted = annealing(Line(edges), dict.fromkeys(range(edges), 0.99))
    assert found == list(range(edges - 1, 0, -1))
    assert not refitted


def test_what_falls_short_is_refitted(edges):
    found, judged, refitted = annealing(Line(edges), dict.fromkeys(range(edges), 0.93), gain=0.03)
    assert found == list(range(edges - 1, 0, -1))
    assert refitted == judged


def test_it_ends_where_stages_in_a_row_fail(edges):
    found, judged, _ = annealing(Line(edges), {edges - 1: 0.99, edges - 3: 0.99})
    assert found == [edges - 1, edges - 3]
    assert judged == list(range(edges - 1, edges - 4 - FAILURES, -1))


def test_of_the_stages_that_are_known_only_the_last_that_holds_is_judged_again(edges):
    line = Line(edges)
    annealing(line, dict.fromkeys(range(edges - 4, edges), 0.99))
    assert len(line.annealed) == 4 + FAILURES
    found, judged, _ = annealing(line, dict.fromkeys(range(edges - 3, edges), 0.99))
    assert found == [edges - 3]
    assert judged == list(range(edges - 4 - FAILURES, edges - 2))
    assert len(line.annealed) == 4 + FAILURES


def test_a_stage_that_was_fitted_in_vain_is_only_fitted_again_where_that_is_promising(edges):
    line = Line(edges)
    line.annealed = [line.stage(count, refitted=line.of(range(count))) for count in (edges - 1, edges - 2)]
    found, _, refitted = annealing(line, {edges - 1: 0.9, edges - 2: 0.5}, gain=0.06)
    assert found[0] == edges - 1
    assert refitted[0] == edges - 1


def test_what_was_learned_of_the_constants_while_annealing_counts_where_it_matches_better(edges):
    line = Line(edges)
    line.annealed = [replace(line.stage(1), circuit=Circuit(line.wired, line.of([0]).multipliers, torch.ones(1)))]
    for learned, expected in ((0.97, 1.0), (0.96, 0.0)):

        def match(trial, learned=learned):
            return learned if trial.candidate.constants.item() else 0.96

        found = []
        with suppress(OutOfBudget):
            drive(prune_circuit(line, STOPPING, AIM, Budget.of_seconds()), match, [], found)
        assert found[0].constants.item() == expected


def eliminating(count, holds):
    """Which edges were to go at each attempt with a refit, and which were left in the end; no edge goes without a refit.

    Args:
        holds: whether what is left matches when it is refitted.
    """
    line = Line(count)
    oracle = SimpleNamespace(journal=Journal(), seed=0, sample=())
    attempts, found = [], []

    def match(trial):
        if trial.trying.startswith("without") and not trial.trying.endswith("refitted"):
            attempts.append(kept(found[-1]) - kept(trial.candidate))
        return float(trial.trying.endswith("refitted") and holds(kept(trial.candidate)))

    with pytest.raises(TooLarge):
        drive(prune_circuit(line, oracle, ALONE, Budget.of_seconds()), match, [], found)
    return attempts, kept(found[-1])


def test_with_a_refit_half_of_the_edges_are_tried_then_a_quarter_then_the_first_alone():
    attempts, left = eliminating(12, lambda left: False)
    assert [len(removed) for removed in attempts] == [6, 3] + [1] * TRIED_ALONE
    assert left == set(range(12))


def test_as_many_edges_at_once_as_failed_are_not_tried_again():
    attempts, left = eliminating(17, lambda left: left >= set(range(2, 17)))
    assert [len(removed) for removed in attempts] == [8, 4, 2] + [3] + [1] * TRIED_ALONE
    assert left == set(range(2, 17))


def test_an_edge_that_failed_alone_is_not_tried_again():
    attempts, left = eliminating(12, lambda left: {0, *range(2, 12)} <= left)
    assert attempts[2:4] == [{0}, {1}]
    assert attempts[4:] == [{0, 2}] + [{edge} for edge in range(2, 2 + TRIED_ALONE)]
    assert left == {0, *range(2, 12)}


def test_each_loss_that_puts_edges_in_order_is_charged():
    line, losses = Line(12), []
    loss, line.loss = line.loss, lambda *asked: losses.append(asked) or loss(*asked)
    budget = Budget.of_work(1e6, BudgetTuning(pace=1))
    with pytest.raises(TooLarge):
        drive(prune_circuit(line, SimpleNamespace(journal=Journal(), seed=0, sample=(0, 1)), ALONE, budget), lambda trial: 0.0, [], [])
    assert len(losses) == 1 + 12
    assert budget.spent() == len(losses) * 12 * 2


def test_all_edges_that_need_no_refit_go_without():
    line = Line(12)
    oracle = SimpleNamespace(journal=Journal(), seed=0, sample=())
    found = []
    with pytest.raises(TooLarge):
        drive(prune_circuit(line, oracle, ALONE, Budget.of_seconds()), lambda trial: float({3, 7} <= kept(trial.candidate)), [], found)
    assert kept(found[-1]) == {3, 7}
    assert all(len(kept(circuit)) > 2 for circuit in found[:-1])
