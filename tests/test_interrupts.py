"""Ctrl-C waits while what must not be lost is saved."""

import os
import signal

import pytest

from drasp.core.interrupts import HeldInterrupts
from drasp.ir.program import Program
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.search.decompile import Session, decompile
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task


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
