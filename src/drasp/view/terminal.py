"""A program on the terminal: a summary and the listing; or all that is known of it."""

import re
from collections.abc import Iterator, Sequence

from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.printer import print_program
from drasp.view.advice import advice
from drasp.view.captions import WIDEST
from drasp.view.facts import facts, notes
from drasp.view.summary import COLUMNS, in_paragraphs, summary, wrapped
from drasp.view.words import Scene, Sentence, algorithm

MOST_LISTED = 40
UNTOLD = (Sentence("It is not what the model does, and is put into words by drasp show FOLDER --evidence alone."),)
_PIECE = re.compile(r' ?(?:"(?:\\.|[^"\\])*"|\+(?![A-Za-z_])|[^ "+])+(?:\+(?=[A-Za-z_]))?')
"""Of a statement: a line may end behind each, but not inside a quoted token."""


def terminal(program: Program, evidence: Evidence | None, scene: Scene | None = None, whole: bool = False) -> str:
    """The summary, what next where there is no better verdict, and the program, beside or above each line what it does.

    Args:
        scene: the task's sequences, where they are to be had.
        whole: whether all of the listing is shown, however long it is.
    """
    sentences = UNTOLD if evidence is not None and evidence.verdict == "not decompiled" else algorithm(program, scene)
    lines = list(listing(program, evidence, sentences))
    left = 0 if whole else len(lines) - MOST_LISTED
    if left > 1:
        lines = [*lines[:MOST_LISTED], f"... {left} more lines: drasp show FOLDER --all"]
    said = [] if evidence is None else advice(program, evidence)
    return "\n".join([*summary(program, evidence, scene, sentences), *said, "", *lines])


def all_evidence(program: Program, evidence: Evidence | None, scene: Scene | None = None) -> str:
    """The verdict and the algorithm in full, and everything that was measured, a paragraph each."""
    rows = [row for row in facts(program, evidence) if row.section not in ("task name", "model", "found with")]
    said = [wrapped(f"{f'{row.label}: ' if row.label else ''}{row.text}", f"{row.section:<10} ", " " * 11) for row in rows]
    return "\n".join([in_paragraphs(algorithm(program, scene), scene), "", *(line for lines in said for line in lines)])


def listing(program: Program, evidence: Evidence | None, sentences: Sequence[Sentence]) -> Iterator[str]:
    """The program in 80 columns: a line that is longer goes on in the next, and a caption that does not fit beside stands above."""
    known = {name: text for sentence in sentences for name, text in sentence.captions if len(text) <= WIDEST}
    said = notes(program, [row for row in facts(program, evidence) if row.section == "lines"], known)
    header, _, body = print_program(program).rstrip("\n").partition("\n\n")
    for line in header.split("\n"):
        yield from _broken(line)
    yield ""
    lines = list(zip(body.split("\n"), (f"  # {' '.join(said[s.name].split())}" for s in program.statements), strict=True))
    column = max((len(line) for line, comment in lines if len(line + comment) <= COLUMNS), default=0)
    for line, comment in lines:
        if len(line + comment) <= COLUMNS:
            yield f"{line:<{min(column, COLUMNS - len(comment))}}{comment}"
        else:
            yield from wrapped(comment[4:], "# ", "# ")
            yield from _broken(line)


def _broken(line: str) -> Iterator[str]:
    """A line of a program in 80 columns."""
    so_far = ""
    for piece in _PIECE.findall(line):
        if so_far.strip() and len(so_far + piece) > COLUMNS:
            yield so_far
            so_far, piece = "    ", piece.lstrip(" ")
        so_far += piece
    yield so_far
