"""A run that was killed goes on from its journal, and ends with the same program as one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
from drasp.journal import Journal
from drasp.passes.prune import SearchSettings

from drasp import pipeline
from drasp.lang.folder import save_program
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.passes import components
from drasp.search.frontier import listing
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task


def _deep_model():
    """Tomita2's one layer and one that adds nothing: two layers, so that components are pruned too, and soon done."""
    model = load_transformer(ZOO / "tomita2")
    block = model.blocks[0]
    idle = replace(block, **{name: 0 * getattr(block, name) for name in ("w_head_out", "b_head_out", "w_out", "b_out")})
    return replace(model, blocks=(block, idle), score_scale=model.score_scale * 2)


def _run(folder, file):
    """The bytes of the program, its frontier, what was worked out, and the passes without their seconds; by a search in few steps."""
    worked_out = []
    journal = Journal(file, "run")
    write = journal._write
    journal._write = lambda question, answer: (worked_out.append(question), write(question, answer))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "SearchSettings", partial(SearchSettings, steps=4, rounds=1))
        patch.setattr(components, "STEPS_PER_STAGE", 10)
        patch.setattr(pipeline, "EVIDENCE_SEQUENCES", 300)
        found = pipeline.decompile(_deep_model(), get_task("tomita2"), Settings(match=0.9, lengths=(0, 20)), journal=journal)
    save_program(found.program, folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files, listing(found.frontier), worked_out, [replace(step, spent=0) for step in found.evidence.passes]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    found = _run(folder / "program", folder / "journal")
    return found, (folder / "journal").read_bytes()


def test_the_unbroken_run_prunes_components_and_lines(unbroken):
    (_, _, worked_out, _), _ = unbroken
    assert {*worked_out} >= {"match", "stage", "fit of components", "order of edges", "order of removals"}


@pytest.mark.parametrize("seed", range(3))
def test_a_run_cut_off_at_a_random_byte_ends_with_the_same_bytes_and_does_nothing_twice(unbroken, tmp_path, seed):
    (files, frontier, worked_out, passes), journal = unbroken
    cut = random.Random(seed).randrange(len(journal))
    (tmp_path / "journal").write_bytes(journal[:cut])
    kept = max(0, journal[:cut].count(b"\n") - 1)
    again, again_frontier, again_worked_out, again_passes = _run(tmp_path / "program", tmp_path / "journal")
    assert again == files
    assert again_frontier == frontier
    assert again_worked_out == worked_out[kept:]
    assert again_passes == passes


def test_what_stands_behind_a_damaged_line_is_worked_out_again(unbroken, tmp_path):
    (files, _, worked_out, _), journal = unbroken
    lines = journal.splitlines(keepends=True)
    lines[11] = lines[11].replace(b'"', b"'", 1)
    (tmp_path / "journal").write_bytes(b"".join(lines))
    again, _, again_worked_out, _ = _run(tmp_path / "program", tmp_path / "journal")
    assert again == files
    assert again_worked_out == worked_out[10:]


def test_the_time_of_earlier_processes_counts(tmp_path):
    journal = Journal(tmp_path / "journal", "run")
    journal.start -= 100
    journal.once("what", lambda: 1)
    again = Journal(tmp_path / "journal", "run")
    assert 100 <= again.used < 101
    found = pipeline.decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(time=100.0), journal=again)
    assert found.evidence.stopped_by_time is True
    assert found.evidence.seconds > 100


def _command(out):
    return [sys.executable, "-m", "drasp", "decompile", "tomita2", "--lengths", "0-20", "--out", str(out)]


def test_killed_three_times_the_same_command_ends_with_the_program_of_the_unbroken_run(tmp_path):
    subprocess.run(_command(tmp_path / "unbroken"), check=True, capture_output=True)
    moments = random.Random(0)
    lines = 0
    for _ in range(3):
        lines += moments.randrange(4, 12)
        process = subprocess.Popen(_command(tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and _lines(tmp_path / "killed") < lines:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "program.drasp").exists()
    done = subprocess.run(_command(tmp_path / "killed"), check=True, capture_output=True, text=True)
    assert "going on with the unfinished run" in done.stderr
    found, expected = (
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("killed", "unbroken")
    )
    assert {*found} == {*expected}
    assert {name for name in found if found[name] != expected[name]} == {"evidence.json"}  # the seconds


def _lines(run):
    journal = run / ".journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0
