"""A study from its grid to its report: cells are done once, what fails is a row, and nothing is lost."""

import csv
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import drasp.study.cell as cell_module
import drasp.study.measures as measures
import drasp.train as training
from drasp.cli import main
from drasp.cli.study import describe
from drasp.core.parallel import THREADS_AT_MOST, limit_threads
from drasp.core.records import to_json
from drasp.errors import RunFolderError
from drasp.study.cell import CELLS, ROWS, empty_row, finished, left_by, work_on
from drasp.study.grid import read_grid
from drasp.study.page import page, write_report
from drasp.study.row import VARYING, Row
from drasp.study.run import LOCK, RESULTS, Progress, Workforce, run_study
from small_models import LITTLE

QUICK = """
predict = true
[decompile]
work = 2000
lengths = "0-100"
[[models]]
task = "tomita1"
steps = 40
checkpoints = [20]
"""
MANY = '[[models]]\ntask = "D2"\nseed = [0, 1, 2, 3, 4]\n'


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    """A cell takes one thread for the rest of its process; here other tests come after it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    limit_threads(THREADS_AT_MOST)


def grid_of(tmp_path: Path, text: str):
    file = tmp_path / "grid.toml"
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


def steady(row: Row) -> Row:
    return replace(row, **dict.fromkeys(VARYING))


def right(cell, study: Path) -> None:
    """A cell that needs no time, and leaves what a cell leaves."""
    _left(replace(empty_row(cell), accuracy_101_150=1.0, verdict="decompiled", statements=3, steps_run=1), study / CELLS / cell.name)


def deadly(cell, study: Path) -> None:
    """One cell kills every process that works on it, another the first."""
    first = study / "killed"
    if cell.training.seed == 2 or (cell.training.seed == 1 and not first.exists()):
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    right(cell, study)


def unwritable(cell, study: Path) -> None:
    if cell.training.seed == 1:
        raise ValueError("it is odd")
    if cell.training.seed == 3:
        raise RunFolderError("it cannot be written: No space left on device")
    right(cell, study)


def _left(row: Row, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROWS).write_text(json.dumps(to_json([row])))


@contextmanager
def few() -> Iterator[None]:
    """Few sequences, for what does not hang on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_module, "TUNING", LITTLE)
        patch.setattr(measures, "SEQUENCES", 200)
        patch.setattr(training, "EVIDENCE_SEQUENCES", 200)
        yield


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A cell that was done in this process: the cell, its folder and its rows."""
    folder = tmp_path_factory.mktemp("study")
    (only,) = grid_of(folder, QUICK).cells
    with few():
        work_on(only, folder)
    return only, folder, left_by(only, folder)


def test_a_cell_is_a_row_for_each_checkpoint_and_one_for_the_end(cell):
    only, folder, rows = cell
    assert [(row.steps_run, row.checkpoint, row.error) for row in rows] == [(20, True, None), (40, False, None)]
    assert all(row.cell == only.name and row.crasp is True and row.weight_norm > 0 and row.margin > 0 for row in rows)
    assert all(None not in (row.accuracy_0_50, row.accuracy_101_150, row.verdict, row.match, row.short_verdict) for row in rows)
    assert all((folder / CELLS / only.name / place / "program.drasp").exists() for place in ("program", "short", "step-20/program"))
    assert all(row.fails + row.rights == 200 for row in rows)


def test_what_is_done_is_not_done_again(cell, monkeypatch):
    only, folder, rows = cell
    monkeypatch.setattr(cell_module, "_rows", None)
    work_on(only, folder)
    assert finished(only, folder) == rows


def test_a_cell_that_was_killed_at_its_end_gives_the_same_rows(cell):
    only, folder, rows = cell
    (folder / CELLS / only.name / ROWS).unlink()
    assert finished(only, folder) is None
    with few():
        work_on(only, folder)
    assert [*map(steady, left_by(only, folder))] == [*map(steady, rows)]


@pytest.mark.parametrize("content", ["", "[]", "{", '[{"cell": 3}]', "null"])
def test_damaged_rows_are_no_rows(content, cell, tmp_path):
    (tmp_path / CELLS / cell[0].name).mkdir(parents=True)
    (tmp_path / CELLS / cell[0].name / ROWS).write_text(content)
    assert finished(cell[0], tmp_path) is None


def test_a_task_that_raises_is_a_row_with_its_error(tmp_path):
    (tmp_path / "own.py").write_text(
        "from drasp.tasks.registry import get_task\n\n"
        "class Own(type(get_task('D2'))):\n    def __init__(self):\n        self.__dict__.update(vars(get_task('D2')))\n"
        "    def answers(self, token_ids):\n        raise ValueError('two\\nlines')\n"
    )
    grid = grid_of(tmp_path, '[[models]]\ntask = "own.py:Own"\nsteps = 5\n')
    work_on(grid.cells[0], tmp_path / "out")
    (row,) = left_by(grid.cells[0], tmp_path / "out")
    assert "answers() failed: ValueError: two lines" in row.error
    assert row.task == "D2"
    assert finished(grid.cells[0], tmp_path / "out") is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_that_die_are_followed_by_others_and_what_kills_them_is_a_row(tmp_path):
    grid = grid_of(tmp_path, MANY)
    told: list[Progress] = []
    rows = run_study(grid, tmp_path / "out", Workforce(2, work=deadly), told.append)
    assert [row.seed for row in rows] == [0, 1, 2, 3, 4]
    assert [row.seed for row in rows if row.error] == [2]
    assert "each process that worked on it was killed" in rows[2].error
    assert (told[-1].done, told[-1].cells, told[-1].generalise, told[-1].programs, told[-1].failed) == (5, 5, 4, 4, 1)
    with (tmp_path / "out" / RESULTS).open() as file:
        assert [line["seed"] for line in csv.DictReader(file)] == ["0", "1", "2", "3", "4"]
    again = run_study(grid, tmp_path / "out", Workforce(1, work=right), told.append)  # what failed is tried again
    assert not any(row.error for row in again)


@pytest.mark.filterwarnings("ignore")
def test_where_nothing_can_be_written_the_study_ends_and_what_is_done_stays(tmp_path):
    grid = grid_of(tmp_path, MANY)
    with pytest.raises(RunFolderError, match="No space left"):
        run_study(grid, tmp_path / "out", Workforce(1, work=unwritable), lambda progress: None)
    with (tmp_path / "out" / RESULTS).open() as file:
        rows = {line["seed"]: line["error"] for line in csv.DictReader(file)}
    assert "3" not in rows
    assert rows.get("1", "ValueError: it is odd") == "ValueError: it is odd"


def test_a_study_is_worked_on_by_one_command_at_a_time(tmp_path):
    grid = grid_of(tmp_path, MANY)
    out = tmp_path / "out"
    run_study(replace(grid, cells=()), out, Workforce(), lambda progress: None)
    with FileLock(out / LOCK), pytest.raises(RunFolderError, match="another process works on this study"):
        run_study(grid, out, Workforce(), lambda progress: None)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(RunFolderError, match="is not empty and holds no study"):
        run_study(grid_of(tmp_path, MANY), tmp_path / "out", Workforce(), lambda progress: None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, capsys):
    (tmp_path / "grid.toml").write_text(MANY)
    code = main(["study", str(tmp_path / "grid.toml"), "--out", str(tmp_path / "out"), "--scheduler", "nonsense"])
    assert code == 2
    assert "--scheduler nonsense: no scheduler answers there" in capsys.readouterr().err.splitlines()[-1]


def test_without_dask_it_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    (tmp_path / "grid.toml").write_text(MANY)
    assert main(["study", str(tmp_path / "grid.toml"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "drasp: error: drasp study needs Dask: pip install 'drasp[study]'"


def test_the_command_tells_what_was_found_and_goes_on_with_what_is_there(cell, tmp_path, capsys):
    only, folder, rows = cell
    (tmp_path / "grid.toml").write_text(QUICK)
    out = tmp_path / "out"
    out.mkdir()
    (out / "grid.toml").touch()
    (out / CELLS).symlink_to(folder / CELLS)
    assert main(["study", str(tmp_path / "grid.toml"), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "1 of 1" in said.err
    assert said.out.startswith("Of 1 models ")
    assert len((out / RESULTS).read_text().splitlines()) == 1 + len(rows)
    text = (out / "report.html").read_text()
    assert only.name in text
    assert "Along the training" in text
    assert "src=" not in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_the_report_shows_programs_that_differ_side_by_side(tmp_path):
    grid = grid_of(tmp_path, MANY)
    made = [replace(empty_row(cell), accuracy_101_150=1.0, verdict="decompiled", statements=3, match=1.0) for cell in grid.cells]
    made = [replace(row, algorithm=form) for row, form in zip(made, "xxyyz", strict=True)]
    made[4] = replace(made[4], verdict="pruned", accuracy_101_150=0.2, algorithm=None)
    (tmp_path / "grid.toml").write_text(grid.text)
    for cell, text in zip(grid.cells, ("one < two", "", "three", "", ""), strict=True):
        program = tmp_path / CELLS / cell.name / "program"
        program.mkdir(parents=True)
        (program / "program.drasp").write_text(f"head\n\n{text}\n")
    text = page(made, tmp_path)
    assert text.count("<figure>") == 2
    assert "one &lt; two" in text
    assert "three" in text
    assert all(text.count(f'id="{cell.name}"') == 1 and f'href="#{cell.name}"' in text for cell in grid.cells)
    write_report(made, tmp_path)
    assert r"D2 & 5 & 4 & 4 & 3 \\" in (tmp_path / "table.tex").read_text()


def test_a_report_of_nothing_says_so(tmp_path):
    (tmp_path / "grid.toml").write_text("")
    assert "No model is done yet" in page([], tmp_path)


def test_progress_is_a_line_that_counts(tmp_path, monkeypatch):
    grid = grid_of(tmp_path, MANY)
    for cell in grid.cells[:2]:
        right(cell, tmp_path / "out")
    told: list[Progress] = []
    (tmp_path / "out" / "grid.toml").touch()
    monkeypatch.setattr("drasp.study.run._work_off", lambda cells, out, *rest: ((cell, (empty_row(cell, error="no"),)) for cell in cells))
    run_study(grid, tmp_path / "out", Workforce(), told.append)
    first, *_, last = (describe(progress).split("  ", 1)[-1].strip() for progress in told)
    assert first.endswith("2 of 5  2 generalise, 2 with a short program")
    assert "5 of 5  2 generalise, 2 with a short program  3 failed  last: D2-1l1h16-seed4-" in last
    assert last.endswith(" no")
