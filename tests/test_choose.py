"""Which candidate is the result: the smallest that holds on further sequences, found with few of them measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.journal import Journal
from drasp.ir.nodes import TOKEN, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.learn.tuning import PruneTuning, RefitTuning
from drasp.passes.aim import Aim
from drasp.search import choose
from drasp.search.choose import Candidate, Choice, by_bisection, eligible
from driving import drive

HEADER = Header(("a", "b"), 4, "next-token")
WANTED, SEQUENCES = 0.9093, 4000  # what 0.9 asks of so many sequences
AIM = Aim(0.9, RefitTuning(hopeless=0.05))


def program(projections):
    """A program of some statements."""
    names = [f"logits{number}" for number in range(projections)]
    lines = [Project(name, TOKEN, Dense(name)) for name in names]
    return Program(HEADER, (*lines, Prediction(tuple(names))), {name: np.eye(2) for name in names})


class Judging:
    """Candidates that have the match of their place, ever larger ones; time ends after some matches."""

    def __init__(self, matches, time_for=100, budget=None):
        self.candidates = [program(count) for count in range(1, len(matches) + 1)]
        self.matches = dict(zip(map(id, self.candidates), matches, strict=True))
        self.time_for, self.budget = time_for, budget or Budget.of_seconds()
        self.asked = []

    def match(self, trial):
        assert trial.pool == "verify"
        if len(self.asked) == self.time_for:
            raise OutOfBudget
        self.asked.append(trial.candidate)
        return self.matches[id(trial.candidate)]

    def chosen(self, found=None):
        """The place of the candidate that is chosen; by default the search found the current-token table, then ever smaller ones."""
        found = [self.candidates[place] for place in found or [0, *range(len(self.candidates) - 1, 0, -1)]]
        choice = Choice.among(found, WANTED, SEQUENCES, PruneTuning())
        oracle = SimpleNamespace(seed=0, journal=Journal())
        try:
            result = drive(by_bisection(choice, oracle, AIM, self.budget), self.match).result
        except OutOfBudget:
            result = choice.picked(self.candidates[0])
        return next(place for place, candidate in enumerate(self.candidates) if candidate is result)

    def with_fitted(self, monkeypatch, place, match):
        """One candidate, fitted once more, becomes one that has a place behind all others."""
        better = program(place + 1)
        self.candidates.append(better)
        self.matches[id(better)] = match
        monkeypatch.setattr(choose, "fit", lambda plain, *_: better if plain is self.candidates[place] else None)


@pytest.fixture(autouse=True)
def no_fit(monkeypatch):
    """Without a word to the contrary a fit changes nothing."""
    monkeypatch.setattr(choose, "fit", lambda plain, *_: plain)


@pytest.mark.parametrize("matches", [[0.1, 0.5, 0.95, 0.96, 1.0], [0.1, 0.95, 0.5, 0.96, 1.0], [0.1, 0.2, 0.3, 0.95, 0.3]])
def test_the_smallest_candidate_that_holds_is_chosen(matches):
    assert Judging(matches).chosen() == next(place for place, match in enumerate(matches) if match >= 0.94)


def test_without_one_that_holds_the_best_is_chosen():
    assert Judging([0.1, 0.5, 0.8, 0.7]).chosen() == 2
    assert Judging([0.1, 0.5, 0.78, 0.8]).chosen() == 3


def test_a_smaller_one_is_as_good_within_a_standard_error():
    assert Judging([0.1, 0.5, 0.795, 0.8]).chosen() == 2


def test_of_many_candidates_few_are_tried_before_one_that_holds_is_known():
    judging = Judging([0.5] * 30 + [1.0] * 30, time_for=2)
    assert judging.chosen() == 31  # the last first, then the middle of the 58 larger ones
    assert Judging([0.1] + [0.5] * 40 + [1.0] * 19, time_for=3).chosen() >= 41


@pytest.mark.parametrize(("fitted", "chosen"), [(0.95, 4), (0.907, 2), (0.9, 2)])
def test_the_last_is_fitted_once_more_where_it_falls_short(monkeypatch, fitted, chosen):
    judging = Judging([0.1, 0.905, 0.96, 0.97])
    judging.with_fitted(monkeypatch, 1, fitted)
    assert judging.chosen(found=[0, 3, 2, 1]) == chosen


@pytest.mark.parametrize(("fitted", "chosen"), [(0.907, 2), (0.9, 1)])
def test_of_a_last_candidate_and_it_fitted_the_better_is_judged_by(monkeypatch, fitted, chosen):
    judging = Judging([0.1, 0.905])
    judging.with_fitted(monkeypatch, 1, fitted)
    assert judging.chosen(found=[0, 1]) == chosen


def test_where_time_ends_before_it_is_measured_fitted_the_last_candidate_stays_as_it_was(monkeypatch):
    judging = Judging([0.1, 0.905], time_for=1)
    judging.with_fitted(monkeypatch, 1, 1.0)
    assert judging.chosen(found=[0, 1]) == 1


def test_what_falls_far_short_is_not_fitted(monkeypatch):
    judging = Judging([0.1, 0.5, 0.96])
    judging.with_fitted(monkeypatch, 1, 1.0)
    assert judging.chosen(found=[0, 2, 1]) == 2


def test_a_candidate_is_fitted_while_half_of_the_time_lasts(monkeypatch):
    left = []

    def fit(plain, oracle, schedule, budget):
        left.append(budget.left())
        raise OutOfBudget

    monkeypatch.setattr(choose, "fit", fit)
    judging = Judging([0.905], budget=Budget.of_seconds(1000))
    assert judging.chosen(found=[0]) == 0
    assert 490 < left[0] < 510
    assert judging.budget.left() > 990


def test_a_fit_of_the_last_sees_more_long_sequences_than_those_of_the_search(monkeypatch):
    schedules = []
    monkeypatch.setattr(choose, "fit", lambda plain, oracle, schedule, budget: schedules.append(schedule) or plain)
    Judging([0.1, 0.905]).chosen(found=[0, 1])
    assert [(schedule.long, schedule.rate) for schedule in schedules] == [(AIM.refit.final_long, AIM.refit.rate)]


def test_a_fit_that_is_stopped_is_stopped_there_again(monkeypatch, tmp_path):
    """The search goes on behind it, so that the journal has to know."""

    def chosen(limit):
        journal, asked = Journal(tmp_path / "journal", "run"), []

        def fit(plain, oracle, schedule, budget):
            asked.append("fit")
            budget.charge(100)
            budget.check()  # as for the means, before it asks
            return journal.once("fit", plain.digest, lambda: None, budget)

        def match(trial):
            asked.append(trial.candidate.digest)
            return journal.once("match", trial.candidate.digest, lambda: matches[trial.candidate.digest], budget)

        monkeypatch.setattr(choose, "fit", fit)
        candidates = [program(count) for count in (1, 2, 3)]
        matches = {candidate.digest: match for candidate, match in zip(candidates, (0.1, 0.905, 0.95), strict=True)}
        budget = Budget.of_work(limit, BudgetTuning(pace=1))
        choice = Choice.among([candidates[place] for place in (0, 2, 1)], WANTED, SEQUENCES, PruneTuning())
        result = drive(by_bisection(choice, SimpleNamespace(seed=0, journal=journal), AIM, budget), match).result
        return result.digest, asked, budget.spent()

    first = chosen(110)
    assert first[1].count("fit") == 1
    assert chosen(110) == first
    assert chosen(1000) == first


def test_without_time_for_any_the_last_is_chosen():
    assert Judging([0.1, 0.5, 1.0, 1.0], time_for=0).chosen() == 1


def test_of_a_choice_that_is_cut_short_the_table_is_not_the_result_where_more_was_found():
    judging = Judging([0.5, 0.2, 0.5, 0.5], time_for=3)
    assert judging.chosen() == 3
    choice = Choice(judging.candidates, 2, WANTED, SEQUENCES, {0: 0.5})
    assert choice.picked(judging.candidates[0]) is judging.candidates[2]
    assert choice.picked() is judging.candidates[0]


def test_what_matches_only_loosely_counts_where_nothing_was_found_after_it():
    table, loose, strict = (program(count) for count in (1, 2, 3))
    assert eligible([Candidate(table, False), Candidate(loose, True)]) == [table, loose]
    assert eligible([Candidate(table, False), Candidate(loose, True), Candidate(strict, False)]) == [table, strict]
    assert eligible([Candidate(table, False)]) == [table]
