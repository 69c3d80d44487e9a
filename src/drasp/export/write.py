"""Writes an export to a file: which formats there are, where they go, and that nothing is overwritten unasked."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drasp.errors import RunFolderError
from drasp.export.latex import to_latex
from drasp.export.markdown import to_markdown
from drasp.export.python import to_python
from drasp.ir.program import Program
from drasp.lang.folder import PROGRAM_FILE, load_program
from drasp.record import load_evidence

Write = Callable[[Program, Mapping[str, Any] | None], str]

FORMATS: dict[str, tuple[str, Write]] = {"python": (".py", to_python), "latex": (".tex", to_latex), "markdown": (".md", to_markdown)}
"""Each format's ending and what writes it."""


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
    ending, write = FORMATS[to]
    target = out or (path / PROGRAM_FILE if path.is_dir() else path).with_suffix(ending)
    if target.exists() and not target.is_file():
        raise RunFolderError(f"{target} is no file; --out names the file to write")
    if target.exists() and not force:
        raise RunFolderError(f"{target} is there already; choose another --out, or --force to replace it")
    text = write(program, evidence)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, target)
    except OSError as error:
        raise RunFolderError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    return target
