"""A program as Markdown: the listing with captions, its size, and the evidence as a table (GitHub's dialect)."""

import re
from collections.abc import Mapping
from typing import Any

from drasp.export.facts import facts, line_costs
from drasp.ir.program import Program
from drasp.lang.printer import print_program
from drasp.naming.captions import captions


def to_markdown(program: Program, evidence: Mapping[str, Any] | None = None) -> str:
    """The document's text.

    Raises:
        DraspError: the evidence is damaged.
    """
    listing = print_program(program, captions(program))
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", listing))])
    what = "the next token" if program.header.predict == "next-token" else "the set of tokens that may come next"
    lines = ["# D-RASP program", "", f"It predicts {what}.", "", f"{fence}drasp", *listing.rstrip("\n").split("\n"), fence, ""]
    lines += ["## Evidence", "", *_table(("measured", "figure"), facts(program, evidence))]
    costs = line_costs(evidence)
    if costs:
        lines += ["", "## What each line is worth", "", *_table(("without", "match"), [(n, f"{m:.3f}") for n, m in costs.items()])]
    return "\n".join([*lines, ""])


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    return [_row(head), "|---|---|", *map(_row, rows)]


def _row(cells: tuple[str, str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(text.split()))
