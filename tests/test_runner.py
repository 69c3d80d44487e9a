"""What the runner keeps, what a plan gives a stage, and what an interrupted search may spend."""

from math import inf
from types import SimpleNamespace

import pytest

from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.lang.parser import parse
from drasp.search import runner
from drasp.search.choose import Candidate
from drasp.search.frontier import FrontierTuning
from drasp.search.plan import PLAN, Stage
from drasp.search.runner import Run, Runner
from drasp.search.settings import Settings, Tuning

STRICT, LOOSE = Stage("strict", (), until=0.75), Stage("loose", (), until=0.42, slack=0.02)
SHARES = (LOOSE.until, STRICT.until, PLAN.chosen, PLAN.named, PLAN.measured)


def searching(budget=None):
    """The runner of a search for which programs of three statements are large."""
    told = []
    tuning = Tuning(frontier=FrontierTuning(statements=2))
    run = Run(Settings(statements=2), tuning, budget or Budget.of_seconds(), Journal(), told.append)
    return Runner(SimpleNamespace(), run), told


def program(statements, number=1):
    """A program of some statements; with another number it is another one."""
    lines = [f"logits{i} = project(op={{<bos>: {i + number}}})" for i in range(statements - 1)]
    logits = " + ".join(f"logits{i}" for i in range(statements - 1))
    head = ["drasp 1", 'vocabulary "a" <bos>', "positions 6", "predict next-token"]
    return parse("\n".join([*head, *lines, f"prediction = softmax({logits})", ""]))


@pytest.mark.parametrize(
    ("stages", "left"),
    [((STRICT, STRICT), [2]), ((LOOSE, LOOSE), [2]), ((LOOSE, STRICT), [2]), ((STRICT, LOOSE), [1, 2]), ((STRICT, LOOSE, LOOSE), [1, 3])],
)
def test_of_large_candidates_the_last_is_kept_but_a_strict_one_never_gives_way_to_a_loose_one(stages, left):
    search, _ = searching()
    table = program(2)
    large = [program(3, number) for number in range(1, len(stages) + 1)]
    search._candidates = [Candidate(table, loose=False)]
    for stage, what in zip(stages, large, strict=True):
        search._keep(what, stage)
    assert [each.program for each in search._candidates] == [table, *(large[number - 1] for number in left)]


def test_what_an_interrupted_search_may_spend_does_not_hang_on_what_the_journal_told_last():
    budget = Budget.of_work(100)
    budget.replay(40.0, stop=1)
    search, told = searching(budget)
    search._stopped(KeyboardInterrupt())
    search.interrupts.release()
    budget.check()
    assert [each.phase for each in told] == ["interrupted, saving the best program so far"]


@pytest.mark.parametrize("seconds", [1, 10, 20, 30, 100, 199])
def test_in_a_short_run_every_stage_gets_some_time_and_none_ends_before_an_earlier_one(seconds):
    ends = [PLAN.until(Budget.of_seconds(seconds), share).limit for share in SHARES]
    assert ends[0] > 0
    assert ends == sorted(ends)
    assert PLAN.until(Budget.of_seconds(seconds), PLAN.measured).limit - ends[-2] == pytest.approx(min(PLAN.reserve, seconds / 2))
    assert ends[0] / ends[1] == pytest.approx(LOOSE.until / STRICT.until)
    assert ends[-1] < seconds


@pytest.mark.parametrize("seconds", [201, 600, inf])
def test_in_a_longer_run_the_shares_are_those_of_the_plan(seconds):
    assert [PLAN.until(Budget.of_seconds(seconds), share).limit for share in SHARES] == [share * seconds for share in SHARES]


def test_without_a_limit_on_time_naming_early_ends_soon_after_its_stage(monkeypatch):
    given = []

    def names_nothing(program, oracle, aim, budget):
        given.append(budget.limit)
        return None
        yield

    monkeypatch.setattr(runner, "named_whole", names_nothing)
    search, _ = searching()
    stage = PLAN.until(search.run.budget, LOOSE.until, 60.0)
    assert not search._named_early(program(2), None, stage)
    assert given == [60.0 + PLAN.early_seconds]
