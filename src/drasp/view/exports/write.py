"""Writes an export to a file: which formats there are, and where they go."""

from collections.abc import Callable
from pathlib import Path

from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.folder import PROGRAM_FILE, load_program
from drasp.search.record import EXPORT_ENDINGS, check_target, load_evidence, write_made
from drasp.view.exports.latex import to_latex
from drasp.view.exports.latex_figure import to_latex_figure
from drasp.view.exports.markdown import to_markdown
from drasp.view.exports.python import to_python

Write = Callable[[Program, Evidence | None], str]

FORMATS: dict[str, Write] = {"python": to_python, "latex": to_latex, "latex-figure": to_latex_figure, "markdown": to_markdown}


def export(path: Path, to: str, out: Path | None = None, force: bool = False) -> Path:
    """Writes a program in another format, with its evidence where there is some, and returns the file.

    Args:
        path: a run folder or a `.drasp` file.
        to: a key of `FORMATS`.
        out: the file to write; beside the program, with the format's ending, by default.
        force: whether a file that is there is replaced.

    Raises:
        DraspError: program or evidence is damaged, or the file is there already or cannot be written.
    """
    program, evidence = load_program(path), load_evidence(path)
    write = FORMATS[to]
    target = out or (path / PROGRAM_FILE if path.is_dir() else path).with_suffix(EXPORT_ENDINGS[to])
    check_target(target, path, force)
    write_made(target, write(program, evidence))
    return target
