"""The studies that are committed: their rows are those of their grid, their programs are there, and the notebook reads them."""

import contextlib
import json
from pathlib import Path

import pytest

from drasp.ir.size import size
from drasp.lang.folder import PROGRAM_FILE
from drasp.lang.parser import parse
from drasp.study.algorithm import algorithm
from drasp.study.analysis import ended
from drasp.study.cell import CELLS, PROGRAM, TRAINING, empty_row
from drasp.study.grid import read_grid
from drasp.study.page import page
from drasp.study.row import Row, read_table, table

ROOT = Path(__file__).parent.parent
STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/grid.toml"))


@pytest.fixture(params=STUDIES, ids=lambda study: study.name)
def study(request: pytest.FixtureRequest) -> tuple[Path, tuple[Row, ...]]:
    return request.param, read_table((request.param / "results.csv").read_text(encoding="utf-8"))


def test_every_model_of_the_grid_has_its_rows_in_order(study: tuple[Path, tuple[Row, ...]]) -> None:
    folder, rows = study
    wanted = [empty_row(cell, step) for cell in read_grid(folder / "grid.toml").cells for step in cell.steps]
    assert [row.task for row in rows] == [row.task for row in wanted]
    for row, expected in zip(rows, wanted, strict=True):
        trained = {name: getattr(expected, name) for name in (*TRAINING, "checkpoint") if getattr(expected, name) is not None}
        assert {name: getattr(row, name) for name in trained} == trained
    assert table(rows) == (folder / "results.csv").read_text(encoding="utf-8")


def test_every_program_in_symbols_is_there_as_its_row_says(study: tuple[Path, tuple[Row, ...]]) -> None:
    folder, rows = study
    for row in rows:
        if row.has_program and not row.checkpoint:
            program = parse((folder / CELLS / row.cell / PROGRAM / PROGRAM_FILE).read_text(encoding="utf-8"))
            found = size(program)
            assert (found.statements, found.opaque, found.numbers) == (row.statements, 0, row.numbers)
            assert algorithm(program) == row.algorithm


def test_the_report_is_that_of_the_rows(study: tuple[Path, tuple[Row, ...]]) -> None:
    folder, rows = study
    assert page(rows, folder) == (folder / "report.html").read_text(encoding="utf-8")


def test_the_notebook_runs() -> None:
    pytest.importorskip("pandas")
    cells = json.loads((ROOT / "examples" / "study.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    with contextlib.chdir(ROOT / "examples"):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    rows = read_table((ROOT / "studies" / "generalisation" / "results.csv").read_text(encoding="utf-8"))
    assert len(names["models"]) == len(ended(rows))  # type: ignore[arg-type]
    assert names["program"].header.vocabulary  # type: ignore[attr-defined]
