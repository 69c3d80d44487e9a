"""A program as Markdown: the listing with captions, its size, and the evidence as a table (GitHub's dialect)."""

import re

from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.printer import print_program
from drasp.view.facts import facts, notes, pairs


def to_markdown(program: Program, evidence: Evidence | None = None) -> str:
    """The document's text."""
    rows = facts(program, evidence)
    listing = print_program(program, notes(program, rows))
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", listing))])
    what = "the next token" if program.header.predict == "next-token" else "the set of tokens that may come next"
    lines = ["# D-RASP program", "", f"It predicts {what}.", "", f"{fence}drasp", *listing.rstrip("\n").split("\n"), fence, ""]
    lines += ["## Evidence", "", *_table(("measured", "figure"), pairs(rows))]
    return "\n".join([*lines, ""])


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    return [_row(head), "|---|---|", *map(_row, rows)]


def _row(cells: tuple[str, str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(text.split()))
