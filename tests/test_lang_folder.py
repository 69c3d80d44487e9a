"""Program folders: what is saved is loaded, the same program gives the same bytes, and what is damaged is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import save_file

from drasp.errors import DraspError, ParseError, RunFolderError
from drasp.ir.program import Program
from drasp.lang.folder import load_program, save_program
from drasp.lang.parser import parse
from strategies import programs

HEADER = 'drasp 1\nvocabulary "a" "b"\npositions 4\npredict next-token\n\n'
DENSE = parse(HEADER + "l = project(inp=token, op=W)\nprediction = softmax(l)\n", {"W": np.eye(2)})
SYMBOLIC = parse(HEADER + "l = project(inp=token, op=(out == inp))\nprediction = softmax(l)\n")


@settings(max_examples=40)
@given(programs())
def test_a_saved_program_is_loaded(tmp_path_factory: pytest.TempPathFactory, program: Program) -> None:
    folder = tmp_path_factory.mktemp("run")
    save_program(program, folder)
    assert load_program(folder) == program
    assert load_program(folder / "program.drasp") == program
    assert {f.name for f in folder.iterdir()} == {"program.drasp"} | ({"operators.safetensors"} if program.operators else set())


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"W": np.eye(2), "V": np.ones((2, 2), np.float32), "U": np.asfortranarray(np.arange(4.0).reshape(2, 2))}
    lines = "".join(f"l{n} = project(inp=token, op={n})\n" for n in "WVU") + "prediction = softmax(lW)\n"
    save_program(parse(HEADER + lines, tensors), tmp_path / "one")
    save_program(parse(HEADER + lines, dict(reversed(tensors.items()))), tmp_path / "two")
    for name in ("program.drasp", "operators.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    np.testing.assert_array_equal(load_program(tmp_path / "one").operators["U"], [[0, 1], [2, 3]])


def test_operators_that_are_not_needed_any_more_are_removed(tmp_path: Path) -> None:
    save_program(DENSE, tmp_path)
    assert (tmp_path / "operators.safetensors").exists()
    save_program(SYMBOLIC, tmp_path)
    assert load_program(tmp_path) == SYMBOLIC
    assert not (tmp_path / "operators.safetensors").exists()


def test_comments_are_written_in_one_column_and_dropped_in_reading(tmp_path: Path) -> None:
    save_program(SYMBOLIC, tmp_path, {"l": "copies\nthe token", "prediction": "ends"})
    assert (tmp_path / "program.drasp").read_text().splitlines()[5:] == [
        "l = project(inp=token, op=(out == inp))  # copies the token",
        "prediction = softmax(l)                  # ends",
    ]
    assert load_program(tmp_path) == SYMBOLIC


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f / "program.drasp").unlink(), RunFolderError, "there is no program"),
        (lambda f: (f / "program.drasp").write_bytes(b"\xff\xfe"), RunFolderError, "cannot be read as text"),
        (lambda f: (f / "program.drasp").write_text("drasp"), ParseError, "program.drasp:1:6: expected a number"),
        (lambda f: (f / "operators.safetensors").unlink(), ParseError, "operator W is missing"),
        (lambda f: (f / "operators.safetensors").write_bytes(b""), RunFolderError, "is no safetensors file"),
        (lambda f: (f / "operators.safetensors").write_bytes(pickle.dumps({"W": [1.0]})), RunFolderError, "is no safetensors file"),
        (lambda f: save_file({"V": np.eye(2)}, f / "operators.safetensors"), ParseError, "operator W is missing"),
        (lambda f: save_file({"W": np.eye(3)}, f / "operators.safetensors"), ParseError, r"operator W has shape \(3, 3\), expected 2 x 2"),
        (lambda f: save_file({"W": np.full((2, 2), np.nan)}, f / "operators.safetensors"), ParseError, "W must hold finite numbers"),
        (lambda f: save_file({"W": np.eye(2, dtype=int)}, f / "operators.safetensors"), ParseError, "W must hold finite numbers"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: object, error: type[DraspError], message: str) -> None:
    save_program(DENSE, tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        load_program(tmp_path)


def test_a_program_that_an_editor_saved_with_a_byte_order_mark_is_loaded(tmp_path: Path) -> None:
    save_program(DENSE, tmp_path)
    file = tmp_path / "program.drasp"
    file.write_text("\ufeff" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_program(file) == DENSE


def test_a_truncated_operators_file_is_refused(tmp_path: Path) -> None:
    save_program(DENSE, tmp_path)
    file = tmp_path / "operators.safetensors"
    data = file.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        with pytest.raises(RunFolderError, match="is no safetensors file"):
            load_program(tmp_path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        save_program(DENSE, tmp_path / "file")
