"""Gathering: the program can be saved at once, no kind can lose the run, and where work is counted nothing hangs on the clock."""

import errno
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.threads import one_thread
from drasp.evidence.gather import EvidenceTuning, Searched, gather
from drasp.evidence.kind import Question
from drasp.evidence.schema import KINDS, PENDING, FrontierEntry
from drasp.lang.parser import parse
from drasp.learn.pools import Study
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from test_evaluation import MAJORITY

SEARCHED = Searched(parse(MAJORITY), frontier=(FrontierEntry(4, 0, 4, 0.5, "select", "program.drasp"),))


@cache
def _model():
    transformer = load_transformer(ZOO / "bin_majority")
    return transformer, TorchTransformer(transformer)


def _question(**settings):
    transformer, oracle = _model()
    return Question(Study(transformer, get_task("bin_majority"), oracle), Settings(lengths=(0, 20), **settings))


def _gathered(budget, tell=lambda what: None, kinds=KINDS, **settings):
    small = tuple(replace(kind, tuning=replace(kind.tuning, most=min(kind.tuning.most, 500))) for kind in kinds)
    with one_thread(True):
        return list(gather(SEARCHED, _question(**settings), budget, tell, EvidenceTuning(kinds=small)))


def _reasons(evidence):
    return {gap.kind: gap.reason for gap in evidence.gaps}


def test_at_first_every_kind_is_a_gap_and_then_one_after_the_other_arrives():
    told = []
    found = _gathered(Budget.of_seconds(100), told.append)
    assert len(found) == 1 + len(KINDS)
    assert _reasons(found[0]) == {kind.name: PENDING for kind in KINDS}
    assert found[0].unfinished
    assert found[0].verdict == "not decompiled"
    assert [len(each.gaps) for each in found] == list(range(len(KINDS), -1, -1))
    assert found[1].verdict == found[2].verdict == "imitated"  # as far as is known when match has been measured
    assert found[3].verdict == found[-1].verdict == "decompiled"
    assert found[-1].matched_at == found[-1].match.worst.low
    assert found[-1].match.all.sequences == 500
    assert found[-1].frontier[0].measured_on == "evidence"
    assert found[-1].frontier[0].match == 1.0
    assert not found[-1].unfinished
    assert told == [kind.name.replace("_", " ") for kind in KINDS]


@pytest.mark.parametrize(
    ("broken", "error"),
    [(kind.name, ValueError("no\nway")) for kind in KINDS]
    + [("match", MemoryError()), ("attention", RecursionError()), ("match", OutOfBudget()), ("language", OutOfBudget())],
)
def test_a_kind_that_fails_is_a_gap_and_the_rest_stays(broken, error):
    def fail(bench, tuning):
        raise error

    told = []
    kinds = [replace(kind, measure=fail) if kind.name == broken else kind for kind in KINDS]
    found = _gathered(Budget.of_seconds(100), told.append, kinds)[-1]
    missing = {broken, "right", "mistakes", "lines", "language"} if broken == "match" else {broken}
    assert set(_reasons(found)) == missing
    assert "\n" not in _reasons(found)[broken]
    assert f"{broken.replace('_', ' ')} not measured: {_reasons(found)[broken]}" in told
    assert found.verdict == {"match": "not decompiled", "attention": "imitated", "interchange": "imitated"}.get(broken, "decompiled")
    if broken == "match":
        assert found.reason == f"match could not be measured: {_reasons(found)['match']}"
        assert _reasons(found)["lines"] == "match was not measured"


def test_what_cannot_be_told_is_measured_all_the_same():
    def closed(what):
        raise OSError(errno.EIO, "Input/output error")

    found = _gathered(Budget.of_seconds(100), closed, evidence="quick")[-1]
    assert found.match is not None
    assert not found.interrupted


@pytest.mark.parametrize("stopped", ["match", "lines"])
def test_an_interruption_leaves_what_was_measured(stopped):
    def interrupt(what):
        if what == stopped:
            raise KeyboardInterrupt

    found = _gathered(Budget.of_seconds(100), interrupt)[-1]
    assert found.interrupted
    assert found.unfinished
    assert set(_reasons(found).values()) == {"interrupted"}
    assert (found.match is None) == (stopped == "match")
    assert found.language is None


def test_quick_evidence_leaves_out_what_is_slow():
    found = _gathered(Budget.of_seconds(100), evidence="quick")[-1]
    assert _reasons(found) == dict.fromkeys(("off_task", "language"), "left out by --evidence quick")


def test_without_a_budget_all_that_runs_anything_is_a_gap():
    found = _gathered(Budget.of_work(0.0, BudgetTuning(pace=1.0)))[-1]
    assert set(_reasons(found)) == {kind.name for kind in KINDS}
    assert found.verdict == "not decompiled"


def test_without_a_budget_nothing_is_drawn(monkeypatch):
    task = get_task("bin_majority")

    def drawn(*arguments):
        raise AssertionError("a sequence was drawn")

    monkeypatch.setattr(type(task), "sample", drawn)
    gone = Budget.of_work(1.0)
    gone.charge(1.0)
    found = _gathered(gone)[-1]
    assert _reasons(found)["attention"] == "its budget ran out before it was done"


def test_too_small_a_budget_gives_no_evidence_that_is_none():
    found = _gathered(Budget.of_work(0.5, BudgetTuning(pace=1.0)))[-1]
    assert _reasons(found)["match"].endswith("sequences; fewer than 100 are no evidence")
    assert found.match is None


@pytest.mark.parametrize("work", [20.0, 60.0, 1e6])
def test_where_work_is_counted_load_and_clock_change_nothing(work, monkeypatch):
    first = _gathered(Budget.of_work(work, BudgetTuning(pace=1.0)))[-1]
    clock = iter(np.cumsum(np.random.default_rng(0).exponential(50.0, 1_000_000)))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    second = _gathered(Budget.of_work(work, BudgetTuning(pace=1.0)))[-1]
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    if work == 1e6:
        assert not first.gaps
