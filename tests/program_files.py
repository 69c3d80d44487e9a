"""Programs before and after a rewrite, as pairs of files under `programs/`.

A file's dense operators are drawn at random; comments give their shapes: `# B: 6 x 6`, `# M: mlp of 6, 1`, `# G: norm of 6`. Other comments
with a colon are for the test that reads them.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program

FOLDER = Path(__file__).parent / "programs"
WIDTH, HIDDEN = 4, 8


def cases(rewrite: str) -> list[object]:
    """The files before a rewrite, as parameters of a test."""
    return [pytest.param(file, id=file.name.split(".")[0]) for file in sorted((FOLDER / rewrite).glob("*.before.drasp"))]


def notes(file: Path) -> dict[str, str]:
    """The comments of a file, by what stands before the colon."""
    return dict(re.findall(r"^# (.+?): (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE))


def read(file: Path) -> Program:
    rng = np.random.default_rng(0)
    operators: dict[str, np.ndarray] = {}
    for name, shape in notes(file).items():
        sizes = [int(size) for size in re.findall(r"\d+", shape)]
        if "mlp" in shape:
            shapes = {"gain": (WIDTH,), "shift": (WIDTH,), "w_in": (WIDTH, HIDDEN), "b_in": (HIDDEN,), "w_out": (HIDDEN, WIDTH)}
            shapes |= {"b_out": (WIDTH,)} | {f"in.{i}": (size, WIDTH) for i, size in enumerate(sizes)}
            operators |= {f"{name}.{part}": rng.normal(size=sizes) for part, sizes in shapes.items()} | {f"{name}.eps": np.array(1e-5)}
        elif "norm" in shape:
            factor = rng.normal(size=(sum(sizes), WIDTH))
            operators |= {name: factor @ factor.T, f"{name}.eps": np.array(0.1)}
        elif "x" in shape:
            operators[name] = rng.normal(size=sizes)
    return parse(file.read_text(encoding="utf-8"), operators, str(file))


def after(file: Path) -> list[str]:
    """The lines that the rewrite is to leave."""
    return lines(file.with_name(file.name.replace(".before.", ".after.")).read_text(encoding="utf-8"))


def lines(program: Program | str) -> list[str]:
    """A program's lines, without comments and empty ones."""
    text = program if isinstance(program, str) else print_program(program)
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def sequences(program: Program, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens at random offsets, (5, 8)."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(0, len(program.header.vocabulary), (5, 8))
    return token_ids, np.arange(8) + rng.integers(0, program.header.positions - 7, (5, 1))
