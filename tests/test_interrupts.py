"""Ctrl-C waits while what must not be lost is saved."""

import os
import signal
from dataclasses import replace

import pytest

from drasp.core.budget import OutOfBudget
from drasp.core.interrupts import HeldInterrupts
from drasp.ir.program import Program
from drasp.learn.trial import Found
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.passes.circuit import expand
from drasp.search import runner
from drasp.search.decompile import Session, decompile
from drasp.search.plan import PLAN, Stage
from drasp.search.runner import Runner
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task


@pytest.fixture(autouse=True)
def heeded():
    """A shell has what it runs in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_what_comes_while_held_comes_when_released():
    held = HeldInterrupts()
    held.hold()
    ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        held.release()
    held.release()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_a_second_ctrl_c_before_the_program_is_saved_comes_right_after():
    """The second comes as soon as a person is told that the best program is being saved."""
    told, saved = [], []

    def report(progress):
        told.append(progress.phase)
        if progress.phase == "drawing sequences" or progress.phase.startswith("interrupted"):
            ctrl_c()

    settings = Settings(lengths=(0, 20))
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), settings, Session(report=report, arrived=saved.append))
    assert told == ["drawing sequences", "interrupted, saving the best program so far"]
    assert isinstance(found.program, Program)
    assert [each.evidence.interrupted for each in saved] == [True, True]
    assert {gap.reason for gap in found.evidence.gaps} == {"interrupted"}
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


@pytest.mark.parametrize("stops", ["a person", pytest.param("time", marks=pytest.mark.slow)])
def test_ctrl_c_while_the_last_circuit_is_made_a_program_does_not_lose_it(monkeypatch, stops):
    """With time up it is the first; where a person stopped the search, the second."""

    def finds_a_circuit(edges, oracle, aim, budget):
        yield Found(edges.whole)
        if stops == "a person":
            ctrl_c()
        raise OutOfBudget

    def interrupted(*what):
        expanded.append(what)
        ctrl_c()
        return expand(*what)

    expanded = []
    monkeypatch.setattr(runner, "PLAN", replace(PLAN, stages=(Stage("only", (finds_a_circuit,), until=0.75),)))
    monkeypatch.setattr(runner, "expand", interrupted)
    monkeypatch.setattr(Runner, "_nothing_found", None)
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(lengths=(0, 20), evidence="quick"))
    assert expanded
    assert found.evidence.interrupted
    assert len(found.program.statements) == 18


def test_a_report_that_goes_on_asking_for_the_end_gets_the_best_program_so_far():
    def report(progress):
        raise KeyboardInterrupt

    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(lengths=(0, 20)), Session(report=report))
    assert found.evidence.interrupted
