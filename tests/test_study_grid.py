"""The grid of a study: what it holds, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from drasp.errors import DraspError
from drasp.study.grid import read_grid
from drasp.train import TrainSettings

EXAMPLE = Path(__file__).parent.parent / "examples" / "small.toml"


def grid(tmp_path: Path, text: str):
    file = tmp_path / "grid.toml"
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


def test_a_table_is_a_model_for_each_combination(tmp_path):
    cells = grid(tmp_path, '[[models]]\ntask = ["D2", "tomita1"]\nwidth = [8, 16]\nheads = 2\nlengths = "0-20"\nlearning_rate = 1').cells
    assert [(c.task, c.training.width) for c in cells] == [("D2", 8), ("D2", 16), ("tomita1", 8), ("tomita1", 16)]
    assert cells[0].training == TrainSettings(width=8, heads=2, lengths=(0, 20), learning_rate=1.0)


def test_how_models_are_decompiled_stands_in_a_table_of_its_own(tmp_path):
    cell = grid(tmp_path, 'predict = true\n[decompile]\nwork = 500\nlengths = "0-60"\n[[models]]\ntask = "D2"').cells[0]
    assert (cell.settings.work, cell.settings.lengths, cell.settings.evidence, cell.predict) == (500, (0, 60), "verdict", True)


def test_the_same_model_twice_is_one_cell(tmp_path):
    assert len(grid(tmp_path, '[[models]]\ntask = ["D2", "D2"]\n[[models]]\ntask = "D2"').cells) == 1


def test_the_name_of_a_cell_hangs_on_all_that_is_asked(tmp_path):
    first, second = (grid(tmp_path, f'[decompile]\nwork = {w}\n[[models]]\ntask = "D2"').cells[0] for w in (5, 6))
    assert first.name != second.name
    assert first.name.startswith("D2-1l1h16-seed0-")


def test_checkpoints_are_those_before_the_end(tmp_path):
    cell = grid(tmp_path, '[[models]]\ntask = "D2"\nsteps = 50\ncheckpoints = [40, 10, 50, 60]').cells[0]
    assert cell.steps == (10, 40, None)


def test_a_task_file_stands_by_its_path_from_the_grid_and_its_content_counts(tmp_path):
    (tmp_path / "own").mkdir()
    task = tmp_path / "own" / "first.py"
    task.write_text("from drasp.tasks.registry import get_task\nMINE = get_task('D2')\n")
    before = grid(tmp_path, '[[models]]\ntask = "own/first.py:MINE"').cells[0]
    assert before.source == f"{task}:MINE"
    task.write_text("from drasp.tasks.registry import get_task\nMINE = get_task('D3')\n")
    assert grid(tmp_path, '[[models]]\ntask = "own/first.py:MINE"').cells[0].name != before.name


def test_models_that_there_are_already(tmp_path):
    cells = grid(tmp_path, '[[models]]\nmodel = ["D2", "tomita1"]').cells
    assert [(c.task, c.training, Path(c.model).name) for c in cells] == [("D2", None, "D2"), ("tomita1", None, "tomita1")]


def test_the_example_of_the_documentation_is_one_of_twelve():
    assert len(read_grid(EXAMPLE).cells) == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "no TOML: Invalid value"),
        ("", "there must be a table [[models]]"),
        ("models = 3", "there must be a table [[models]]"),
        ("models = [3]", "[[models]] number 1 must be a table"),
        ("predict = 1\n[[models]]\ntask = 'D2'", "predict must be true or false, not 1"),
        ("[[models]]\nwidth = 8", "[[models]] number 1: it has no task, and no model"),
        ("[[models]]\ntask = 'D2'\nwidht = 8", "it has no 'widht'; is it width?"),
        ("[[models]]\ntask = 'D2'\nwidth = 'wide'", "width must be a whole number, not 'wide'"),
        ("[[models]]\ntask = 'D2'\nwidth = 7\nheads = 2", "width 7 is not divisible by heads 2"),
        ("[[models]]\ntask = 'D2'\nlengths = [0, 9]", 'lengths must be like "0-50", not 0'),
        ("[[models]]\ntask = 'D2'\ncheckpoints = 5", "checkpoints must be a list of steps, like [500, 1000], not 5"),
        ("[[models]]\ntask = 'D22'", "there is no task 'D22' (did you mean D2?)"),
        ("[[models]]\ntask = 'none.jsonl'", "none.jsonl"),
        ("[[models]]\nmodel = 'D22'", "no such model"),
        ("[[models]]\nmodel = 'D2'\nwidth = 8", "a table with model has no 'width'"),
        ("[decompile]\nwork = -1\n[[models]]\ntask = 'D2'", "work must be None or a whole number from 1 on"),
        ("[decompile]\nwrok = 1\n[[models]]\ntask = 'D2'", "[decompile] has no 'wrok'; is it work?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, said, tmp_path):
    with pytest.raises(DraspError) as error:
        grid(tmp_path, text)
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "grid.toml"))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DraspError, match="No such file"):
        read_grid(tmp_path / "none.toml")
