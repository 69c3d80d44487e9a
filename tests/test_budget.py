"""The budget: seconds or work, slices that nest, and what a journal's answers do to it."""

import time
from math import inf

import pytest

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but where a test moves it on."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def is_spent(budget):
    try:
        budget.check()
    except OutOfBudget:
        return True
    return False


def test_seconds_are_counted_from_the_start(clock):
    budget = Budget.of_seconds(10)
    clock.now += 4
    assert (budget.unit, budget.spent(), budget.left(), budget.seconds()) == ("seconds", 4, 6, 4)
    assert not is_spent(budget)
    clock.now += 6
    assert is_spent(budget)
    clock.now += 6
    assert budget.left() == 0


def test_work_is_counted_as_it_is_charged_and_no_clock_ends_it(clock):
    budget = Budget.of_work(10, BudgetTuning(pace=2))
    clock.now += 100
    assert (budget.unit, budget.spent(), budget.left(), budget.seconds()) == ("work", 0, 10, 100)
    budget.charge(9)
    assert not is_spent(budget)
    budget.charge(1)
    assert is_spent(budget)
    budget.charge(5)
    assert (budget.spent(), budget.left()) == (15, 0)


def test_where_seconds_are_counted_work_is_free(clock):
    budget = Budget.of_seconds(10)
    budget.charge(100)
    assert (budget.spent(), budget.left()) == (0, 10)
    assert not is_spent(budget)


def test_without_a_limit_it_is_never_spent(clock):
    budget = Budget.of_seconds()
    clock.now += 1e9
    assert not is_spent(budget)
    assert budget.left() == inf


def test_a_slice_ends_at_its_share_of_the_whole_whenever_it_was_cut(clock):
    budget = Budget.of_seconds(100)
    clock.now += 20
    half = budget.until(0.5)
    assert half.left() == 30
    assert half.until(0.4).left() == 20  # of the whole too
    clock.now += 30
    assert is_spent(half)
    assert not is_spent(budget)


def test_a_slice_ends_when_so_much_is_spent(clock):
    budget = Budget.of_seconds()
    clock.now += 20
    assert budget.by(90).left() == 70
    assert budget.by(90).by(100).left() == 70


def test_a_slice_ends_so_many_seconds_after_the_start_at_the_most(clock):
    budget = Budget.of_seconds(100)
    clock.now += 20
    assert budget.until(0.5, seconds=30).left() == 10
    assert budget.until(0.5, seconds=70).left() == 30


def test_the_next_slice_is_a_share_of_what_is_left(clock):
    budget = Budget.of_seconds(100)
    clock.now += 20
    assert budget.next(0.5).left() == 40
    assert budget.until(0.6).next(0.5).left() == 20
    assert budget.next(0.5, seconds=5).left() == 5


@pytest.mark.parametrize("cut", [lambda b: b.until(1.0), lambda b: b.next(1.0), lambda b: b.next(5.0), lambda b: b.until(0.9, seconds=80)])
def test_no_slice_ends_later_than_what_it_is_cut_from(clock, cut):
    outer = Budget.of_seconds(100).until(0.5)
    clock.now += 10
    assert cut(outer).left() == 40


def test_where_work_is_counted_seconds_go_by_the_pace(clock):
    budget = Budget.of_work(100, BudgetTuning(pace=2))
    budget.charge(20)
    assert budget.until(0.9, seconds=30).left() == 40
    assert budget.next(1.0, seconds=7).left() == 14
    assert budget.until(0.5).next(1.0, seconds=100).left() == 30


def test_what_is_charged_to_a_slice_is_charged_to_all(clock):
    budget = Budget.of_work(100, BudgetTuning(pace=1))
    half = budget.until(0.5)
    half.charge(45)
    assert (budget.spent(), half.left(), half.next(1.0).left()) == (45, 5, 5)
    budget.charge(5)
    assert is_spent(half)


@pytest.mark.parametrize("budget", [lambda: Budget.of_seconds(100), lambda: Budget.of_work(100, BudgetTuning(pace=1))])
def test_while_a_journal_answers_the_run_has_spent_what_it_had_then_and_goes_on_from_there(clock, budget):
    budget = budget()
    half = budget.until(0.5)
    budget.replay(40.0)
    clock.now += 7
    assert (budget.spent(), half.left(), half.next(0.5).left()) == (40, 10, 5)
    budget.replay(45.0)
    budget.replay(None)
    assert budget.spent() == 45
    clock.now += 3
    budget.charge(3)
    assert (budget.spent(), half.left()) == (48, 2)
    clock.now += 2
    budget.charge(2)
    assert is_spent(half)


def test_live_again_it_stays_live(clock):
    budget = Budget.of_seconds(100)
    budget.replay(40.0)
    budget.replay(None)
    clock.now += 5
    budget.replay(None)
    assert budget.spent() == 45


def test_work_between_two_answers_of_a_journal_counts_as_it_did_then():
    budget = Budget.of_work(100, BudgetTuning(pace=1))
    budget.replay(40.0)
    budget.charge(5)
    assert budget.next(0.2).left() == 11
    budget.replay(None)
    assert budget.spent() == 45


def test_while_a_journal_answers_the_checks_that_raised_then_raise_and_no_others(clock):
    budget = Budget.of_seconds(100)
    budget.replay(500.0)
    assert not any(is_spent(budget) for _ in range(4))
    budget.replay(50.0, stop=3)
    assert [is_spent(budget.until(0.9)) for _ in range(4)] == [False, False, True, False]
    budget.replay(None)
    assert [is_spent(budget) for _ in range(4)] == [False] * 4
    assert budget.checks == 4


def test_it_is_no_exception_that_a_guard_against_those_of_a_users_task_would_swallow():
    assert not issubclass(OutOfBudget, Exception)
