"""`drasp export`."""

import argparse
from pathlib import Path

from drasp.cli.arguments import add_program
from drasp.cli.say import tell

TEXT = "a program as a Python file, a LaTeX document or figure, or Markdown"


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument("--to", required=True, choices=("python", "latex", "latex-figure", "markdown"), help="the format")
    parser.add_argument("--out", type=Path, help="the file (default: program.py, .tex, .figure.tex or .md in the run folder)")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def command(arguments: argparse.Namespace) -> int:
    from drasp.view.exports.write import export

    tell(f"written to {export(arguments.program, arguments.to, arguments.out, arguments.force)}")
    return 0
