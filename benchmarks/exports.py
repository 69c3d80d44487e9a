"""Exports programs to every format, runs, compiles and renders what was written, and prints one table.

    python benchmarks/exports.py benchmarks/programs --sequences 200

The folder holds `.drasp` files or run folders, at any depth. Each program is run on random token strings, of lengths up to 150 or as many
positions as it has, by the NumPy interpreter and by the Python file in a process where drasp cannot be imported. "Predicts alike"
counts the sequences on which that holds at every position. Needs markdown-it-py, and pdflatex to compile.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from markdown_it import MarkdownIt

from drasp.errors import DraspError
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.run.numpy_fast import logits
from drasp.view.exports.write import export

HEADER = (
    "| program | statements | opaque | predicts alike | largest difference | Python lines | LaTeX pages | Markdown |\n"
    "|---|---|---|---|---|---|---|---|"
)
LONGEST = 150
MARGIN = 1e-9  # in relation to the largest logit: below it, two logits, or one and 0, are taken as equal

RUN = """
import json, runpy, sys
sys.modules["drasp"] = None  # importing it fails
file = runpy.run_path(sys.argv[1])
for line in sys.stdin:
    ids = json.loads(line)
    found = file["predict"]([file["VOCABULARY"][i] for i in ids])
    found = [p if isinstance(p, str) else sorted(p) for p in found]
    print(json.dumps([found, file["logits"](ids).tolist()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(HEADER, flush=True)
    for file in sorted(arguments.folder.rglob("*.drasp")):
        print(_row(file, str(file.relative_to(arguments.folder)), arguments.sequences, np.random.default_rng(arguments.seed)), flush=True)


def _row(file: Path, name: str, sequences: int, rng: np.random.Generator) -> str:
    program = load_program(file)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            files = {to: export(file, to, Path(scratch) / f"program.{to}") for to in ("python", "latex", "markdown")}
        except DraspError as refused:
            return f"| {name} | refused: {refused} | | | | | | |"
        alike, difference = _compared(program, files["python"], sequences, rng)
        lines = len(files["python"].read_text(encoding="utf-8").splitlines())
        pages, rendered = _pages(files["latex"]), _rendered(program, files["markdown"])
    found = size(program)
    counts = f"{found.statements} | {found.opaque} | {alike} of {sequences} | {difference:.1e}"
    return f"| {name} | {counts} | {lines} | {pages} | {rendered} |"


def _compared(program: Program, python: Path, sequences: int, rng: np.random.Generator) -> tuple[int, float]:
    """On how many random sequences everything is predicted alike, and the largest difference between two logits."""
    vocabulary = program.header.vocabulary
    lengths = rng.integers(1, min(LONGEST, program.header.positions) + 1, sequences)
    ids = [rng.integers(0, len(vocabulary), length).tolist() for length in lengths]
    asked = "\n".join(map(json.dumps, ids))
    done = subprocess.run([sys.executable, "-c", RUN, str(python)], input=asked, capture_output=True, text=True, check=True)
    alike, largest = 0, 0.0
    for sequence, line in zip(ids, done.stdout.splitlines(), strict=True):
        found, numbers = json.loads(line)
        rows = logits(program, np.array([sequence]))[0]
        largest = max(largest, float(abs(rows - np.array(numbers)).max()))
        alike += all(_same(predicted, row, vocabulary) for predicted, row in zip(found, rows, strict=True))
    return alike, largest


def _same(predicted: str | list[str], row: np.ndarray, vocabulary: tuple[str, ...]) -> bool:
    """Whether a prediction is that of the logits, ties aside."""
    tied = MARGIN * max(1.0, abs(row).max())
    if isinstance(predicted, str):
        return bool(row[vocabulary.index(predicted)] >= row.max() - tied)
    return all(abs(value) <= tied or (token in predicted) == (value > 0) for token, value in zip(vocabulary, row, strict=True))


def _pages(latex: Path) -> str:
    if shutil.which("pdflatex") is None:
        return "no pdflatex"
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", latex.name]
    done = subprocess.run(command, cwd=latex.parent, capture_output=True, check=False)
    pages = re.search(rb"Output written on \S+ \((\d+) page", done.stdout.replace(b"\n", b" "))
    return pages[1].decode() if done.returncode == 0 and pages else "does not compile"


def _rendered(program: Program, markdown: Path) -> str:
    """Whether the rendered listing is the program, and the tables are tables."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(markdown.read_text(encoding="utf-8"))
    listings = [token.content for token in tokens if token.type == "fence"]
    right = len(listings) == 1 and parse(listings[0], program.operators) == program
    tables = sum(token.type == "table_open" for token in tokens)
    return f"renders, {tables} table{'s' * (tables != 1)}" if right and tables else "does not render"


if __name__ == "__main__":
    main()
