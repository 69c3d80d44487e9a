"""A run that was killed goes on from its journal, and ends with the same program as one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from drasp.cli import main
from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.lang.folder import save_program
from drasp.learn.tuning import LINEAR_REFIT, CircuitTuning, RefitTuning
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.search.decompile import Session, decompile
from drasp.search.frontier import listing
from drasp.search.plan import PLAN
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import LITTLE

FEW_STEPS = replace(
    LITTLE,
    linear_refit=replace(LINEAR_REFIT, steps=4, rounds=1),
    exact_refit=RefitTuning(steps=4, rounds=1),
    circuit=CircuitTuning(steps=10),
)
SETTINGS = Settings(match=0.9, lengths=(0, 20), evidence="quick", statements=1)  # too few for any stage but the last to end the search


def _deep_model():
    """Tomita2's one layer and one that adds nothing: two layers, so that the circuit is pruned too, and soon done."""
    model = load_transformer(ZOO / "tomita2")
    block = model.blocks[0]
    mlp = replace(block.mlp, w_out=0 * block.mlp.w_out, b_out=0 * block.mlp.b_out)
    idle = replace(block, w_head_out=0 * block.w_head_out, b_head_out=0 * block.b_head_out, mlp=mlp)
    return replace(model, blocks=(block, idle))


def _run(folder, file, settings=SETTINGS):
    """The bytes of the program, its frontier, the passes without their seconds, what was asked, by a search in few steps."""
    found = decompile(_deep_model(), get_task("tomita2"), settings, Session(journal=Journal(file, "run")), FEW_STEPS)
    save_program(found.program, folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files, listing(found.frontier), [replace(step, spent=0) for step in found.evidence.passes], _questions(file)


def _questions(file):
    return [json.loads(line[9:])[0] for line in file.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    found = _run(folder / "program", folder / "journal")
    return found, (folder / "journal").read_bytes()


def test_the_unbroken_run_goes_through_all_stages(unbroken):
    (_, _, passes, asked), _ = unbroken
    assert {step.name.partition(":")[0] for step in passes} >= {stage.name for stage in PLAN.stages if not stage.one_layer}
    for kind in ("match on select", "match on verify", "annealing", "fit of a circuit", "order of edges", "order of removals"):
        assert any(question.startswith(kind) for question in asked), kind


@pytest.mark.parametrize("seed", range(3))
def test_a_run_cut_off_at_a_random_byte_ends_with_the_same_bytes_and_does_nothing_twice(unbroken, tmp_path, seed):
    found, journal = unbroken
    cut = random.Random(seed).randrange(len(journal))
    (tmp_path / "journal").write_bytes(journal[:cut])
    whole_lines = journal[: journal[:cut].rfind(b"\n") + 1]
    assert _run(tmp_path / "program", tmp_path / "journal") == found
    assert (tmp_path / "journal").read_bytes().startswith(whole_lines)


def test_what_stands_behind_a_damaged_line_is_worked_out_again(unbroken, tmp_path):
    found, journal = unbroken
    lines = journal.splitlines(keepends=True)
    lines[11] = lines[11].replace(b'"', b"'", 1)
    (tmp_path / "journal").write_bytes(b"".join(lines))
    assert _run(tmp_path / "program", tmp_path / "journal") == found
    assert (tmp_path / "journal").read_bytes().startswith(b"".join(lines[:11]))


def test_where_work_is_counted_a_run_that_goes_on_stops_where_it_would_have_stopped(tmp_path):
    settings = replace(SETTINGS, work=20_000)
    found = _run(tmp_path / "unbroken", tmp_path / "journal", settings)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "half").write_bytes(b"".join(lines[: len(lines) // 2]))
    assert _run(tmp_path / "program", tmp_path / "half", settings) == found


def test_the_time_of_earlier_processes_counts(tmp_path):
    budget = Budget.of_seconds(100.0)
    budget._meter.start -= 100
    Journal(tmp_path / "journal", "run").once("what", "nothing", lambda: 1, budget)
    again = Journal(tmp_path / "journal", "run")
    assert 100 <= again.used < 101
    budget = Budget.of_seconds(100.0)
    again.once("what", "nothing", lambda: 2, budget)
    assert not budget.left()


def _command(out):
    return ["decompile", "tomita2", "--lengths", "0-10", "--evidence", "quick", "--out", str(out)]


@pytest.mark.slow
def test_killed_twice_the_same_command_ends_with_the_program_of_the_unbroken_run(tmp_path, capsys):
    """Killed from outside: a run, and one that goes on."""
    assert main(_command(tmp_path / "unbroken")) == 0
    for lines in (2, 5):
        command = [sys.executable, "-m", "drasp", *_command(tmp_path / "killed")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and _lines(tmp_path / "killed") < lines:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "program.drasp").exists()
    capsys.readouterr()
    assert main(_command(tmp_path / "killed")) == 0
    assert "going on with the unfinished run" in capsys.readouterr().err
    found, expected = (
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("killed", "unbroken")
    )
    assert {*found} == {*expected}
    assert {name for name in found if found[name] != expected[name]} == {"evidence.json"}  # the seconds


def _lines(run):
    journal = run / ".journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0
