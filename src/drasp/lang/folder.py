"""A program as a folder: `program.drasp`, and `operators.safetensors` where it has dense operators. Nothing is pickled."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from drasp.errors import RunFolderError
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program

PROGRAM_FILE = "program.drasp"
OPERATORS_FILE = "operators.safetensors"


def load_program(path: str | os.PathLike[str]) -> Program:
    """Reads a program.

    Args:
        path: a run folder, or a `.drasp` file; the dense operators are in `operators.safetensors` beside it.

    Raises:
        DraspError: a file is missing or damaged, or the text is no program.
    """
    file = Path(path)
    if os.path.isdir(file):
        file = file / PROGRAM_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(f"there is no program {file}") from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read as text: {error}") from None
    return parse(text, _load_operators(file.with_name(OPERATORS_FILE)), str(file))


def _load_operators(file: Path) -> Mapping[str, np.ndarray]:
    if not file.exists():
        return {}
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(file.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} is no safetensors file of floating-point numbers: {error}") from None


def save_program(program: Program, folder: str | os.PathLike[str], comments: Mapping[str, str] | None = None) -> None:
    """Writes a program folder, byte for byte the same for the same program. Each file is replaced at once or not at all.

    Args:
        program: what to write.
        folder: where; made if it does not exist. An operators file that the program does not need is removed.
        comments: for the names of statements, what stands behind them after `#`.

    Raises:
        DraspError: the folder cannot be written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if program.operators:
            from safetensors.numpy import save

            _replace(target / OPERATORS_FILE, save({name: array.copy(order="C") for name, array in program.operators.items()}))
        _replace(target / PROGRAM_FILE, print_program(program, comments).encode())
        if not program.operators:
            (target / OPERATORS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{target} cannot be written: {error}") from None


def _replace(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
