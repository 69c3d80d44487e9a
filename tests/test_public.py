"""What `import drasp` offers: its names, and programs with methods."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import drasp
from drasp.decompilation import decompile
from drasp.ir import program as ir
from drasp.lang import parser
from drasp.search.decompile import Decompilation
from drasp.search.frontier import Point

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
