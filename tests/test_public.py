"""What `import drasp` offers: its names, and programs with methods."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import drasp
from drasp.decompilation import decompile
from drasp.ir import program as ir
from drasp.ir.size import size
from drasp.lang import parser
from drasp.search.decompile import Decompilation
from drasp.search.frontier import Point
from drasp.view.summary import summary
from sample_evidence import sample_evidence

TEXT = """drasp 1
vocabulary "a" "b" <bos>
positions 6
predict next-token

l = project(inp=pos, op=W)
prediction = softmax(l)
"""
OPERATORS = {"W": np.arange(18.0).reshape(6, 3)}


def test_completion_offers_the_public_names_alone() -> None:
    assert [name for name in dir(drasp) if not name.startswith("__")] == drasp.__all__
    assert "__version__" in dir(drasp)
    assert all(hasattr(drasp, name) for name in dir(drasp))


def test_the_version_is_that_of_the_package() -> None:
    assert drasp.__version__ == version("drasp")


def test_a_name_that_there_is_not_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'drasp' has no attribute 'compile'"):
        drasp.compile  # noqa: B018  the access is what is tested


def test_default_positions_count_from_zero() -> None:
    made = drasp.parse(TEXT, OPERATORS)
    np.testing.assert_array_equal(made.logits(np.array([[0, 0]])), [[[0, 1, 2], [3, 4, 5]]])
    np.testing.assert_array_equal(made.logits(np.array([[0, 0]]), np.array([[4, 5]])), [[[12, 13, 14], [15, 16, 17]]])
    with pytest.raises(drasp.DraspError, match="position ids must lie in"):
        made.logits(np.array([[0]]), np.array([[6]]))


def test_wherever_a_program_comes_from_it_has_methods(tmp_path: Path) -> None:
    parsed = drasp.parse(TEXT, OPERATORS)
    drasp.save_program(parsed, tmp_path)
    found = [
        parsed,
        drasp.load_program(tmp_path),
        parsed.without("l"),
        parsed.replace("l", "project(op=1)"),
        parsed.with_statements(parsed.statements),
    ]
    assert {type(program) for program in found} == {drasp.Program}
    assert type(parsed.trace("a b")) is drasp.SequenceTrace
    assert type(parsed.trace("a b").program) is drasp.Program


def test_a_program_prints_as_its_text_with_captions_and_is_one_line_in_brackets() -> None:
    program = drasp.parse(TEXT, OPERATORS)
    assert drasp.parse(str(program), OPERATORS) == program
    lines = str(program).splitlines()
    assert all("  # " in line for line in lines[lines.index("") + 1 :])
    assert (
        repr(program)
        == f"<Program: {len(program.statements)} statements, {size(program).opaque} of them opaque, {size(program).numbers} numbers>"
    )


def test_a_decompilation_prints_as_its_summary() -> None:
    program = drasp.load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")
    evidence = sample_evidence(program)
    found = drasp.Decompilation(program, evidence, ())
    assert repr(found) == str(found) == "\n".join(summary(program, evidence))
    assert "decompiled: it predicts what the model predicts and is short" in str(found)


def test_a_program_equals_the_data_it_was_made_from() -> None:
    data = parser.parse(TEXT, OPERATORS)
    assert type(data) is ir.Program
    assert drasp.Program.of(data) == data
    assert data == drasp.Program.of(data)


def test_a_decompilation_has_programs_with_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parser.parse(TEXT, OPERATORS)
    found = Decompilation(data, {"verdict": "pruned"}, (Point(data, 0.5, "select"),))
    monkeypatch.setattr("drasp.search.decompile.decompile", lambda *_: found)
    shown = decompile("D2", "D2")
    assert type(shown) is drasp.Decompilation
    assert {type(program) for program in (shown.program, shown.frontier[0].program)} == {drasp.Program}
    assert shown.evidence == found.evidence


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"match": 99}, "match must be a share above 0 and up to 1, like 0.99, not 99"),
        ({"match": 0}, "match must be"),
        ({"match": float("nan")}, "match must be"),
        ({"least": "0.9"}, "least must be a share from 0 to 1, like 0.9, not '0.9'"),
        ({"time": "1m"}, "time must be seconds above 0"),
        ({"time": float("inf")}, "time must be seconds above 0 and up to 1e"),
        ({"statements": 0}, "statements must be a whole number from 1 on, not 0"),
        ({"numbers": True}, "numbers must be a whole number from 1 on, not True"),
        ({"lengths": (50, 10)}, "lengths must be two whole numbers"),
        ({"lengths": 10}, "lengths must be two whole numbers"),
        ({"seed": -1}, "seed must be a whole number from 0 to below"),
        ({"device": "tpu"}, "device must be auto, cpu or a GPU that is there, like cuda, not 'tpu'"),
        ({"device": "cuda:99"}, "device must be"),
        ({"work": 0}, "work must be None or"),
        ({"evidence": "none"}, "evidence must be full, quick or verdict, not 'none'"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_when_they_are_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(drasp.DraspError, match=f"^Settings: {message}"):
        drasp.Settings(**given)


def test_settings_may_be_numbers_of_numpy_and_lists() -> None:
    found = drasp.Settings(seed=np.int64(3), time=np.float32(2), lengths=[0, 50], device=torch.device("cpu"))  # type: ignore[arg-type]
    assert found == drasp.Settings(seed=3, time=2.0, lengths=(0, 50), device="cpu")
    assert (type(found.seed), type(found.device)) == (int, str)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (None, drasp.Settings(), "sequences must be lists of tokens"),
        (Path("nowhere.jsonl"), drasp.Settings(), "nowhere.jsonl: no such file"),
        ("D2", {"time": 2}, "settings must be drasp.Settings"),
    ],
    ids=str,
)
def test_what_is_no_task_or_no_settings_is_refused(task: Any, settings: Any, message: str) -> None:
    with pytest.raises(drasp.DraspError, match=message):
        drasp.decompile("D2", task, settings)


def test_a_decompilation_is_saved_and_loaded(decompiled: Any, tmp_path: Path) -> None:
    found, run = decompiled, tmp_path / "run"
    found.save(run)
    again = drasp.load(run)
    assert again == found
    assert (again.algorithm, again.task) == (found.algorithm, drasp.get_task("D2"))
    with pytest.raises(drasp.DraspError, match="holds a run; give another folder, or force=True"):
        found.save(run)
    found.save(run, force=True)
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(drasp.DraspError, match="is not empty and holds no run"):
            found.save(tmp_path, force)
        with pytest.raises(drasp.DraspError, match="is a file"):
            found.save(tmp_path / "notes.txt", force)
    with pytest.raises(drasp.DraspError, match="no run folder with its evidence"):
        drasp.load(tmp_path)
    (run / "frontier.json").unlink()
    with pytest.raises(drasp.DraspError, match="holds no frontier"):
        drasp.load(run)
