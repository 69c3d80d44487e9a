"""What may come of an input, whatever it is: a result, or a `DraspError` that a person can read; soon, and in little memory."""

import contextlib
import io
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from drasp.cli import main
from drasp.errors import DraspError, ParseError, UnknownTaskError, UnsupportedModelError
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.run.gated import Executor
from drasp.run.numpy_fast import evaluate
from drasp.view.exports.python import to_python

Result = TypeVar("Result")

SECONDS, MEMORY = 5, 1 << 30
LONGEST_LINE, LONGEST_LIST = 300, 1_000
"""Characters of a message, not counting the folder in which the input stands."""
_STATUS = Path("/proc/self/statm")


class TooSlow(BaseException):
    """Nothing catches it on the way."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Ends what takes more than 5 s of the processor, and refuses it more than 1 GB beyond what is held now.

    The limit is on addresses, of which torch holds many that it never uses: so it is set from what is held before each input.
    """

    def stop(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, stop)
    if _STATUS.exists():
        held = int(_STATUS.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def accepted(run: Callable[[], Result], folder: Path | None = None) -> Result | None:
    """What `run` gives; None where it refuses its input as it should. Anything else that it raises is a find."""
    try:
        with bounded():
            return run()
    except DraspError as error:
        assert_readable(error, folder)
        return None


def assert_readable(error: DraspError, folder: Path | None = None) -> None:
    """One line of at most 300 characters, nothing in it that a terminal would obey.

    Below it a `ParseError` shows the line of the text and a caret. A model that is not supported is told all the reasons, a task that is
    unknown all the names.
    """
    message = str(error) if folder is None else str(error).replace(str(folder), "")
    lines = message.split("\n")
    assert all(line.isprintable() for line in lines), f"control characters: {message!r}"
    assert len(lines) == (3 if isinstance(error, ParseError) else 1), f"{len(lines)} lines: {message!r}"
    assert lines[0].strip()
    longest = LONGEST_LIST if isinstance(error, UnsupportedModelError | UnknownTaskError) else LONGEST_LINE
    assert all(len(line) <= longest for line in lines), f"{max(map(len, lines))} characters: {message!r}"


def assert_means_one_thing(program: Program) -> None:
    """What was accepted is printed as it is read, runs, and gives the same in NumPy, in torch and in exported Python."""
    text = print_program(program)
    again = parse(text, program.operators)
    assert again == program
    assert print_program(again) == text
    for ids in _some_ids(program):
        found = accepted(lambda ids=ids: evaluate(program, *ids).logits)
        if found is not None:
            _assert_same(program, ids, found)


def _some_ids(program: Program) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token and position ids of two short sequences, at the first and at the last positions."""
    header = program.header
    time = min(5, header.positions)
    tokens = np.random.default_rng(0).integers(0, len(header.vocabulary), (2, 1, time))
    return [(tokens[0], np.arange(time)[None]), (tokens[1], np.arange(header.positions - time, header.positions)[None])]


def _assert_same(program: Program, ids: tuple[np.ndarray, np.ndarray], found: np.ndarray) -> None:
    rounded = accepted(lambda: evaluate(program, *ids, dtype=np.float32).logits)
    if rounded is None or not np.isfinite(found).all() or not np.isfinite(rounded).all():
        return  # overflow, or numbers so large that digits are lost: no two ways to add them up agree
    scale = 1 + np.abs(found).max(initial=0)
    if np.abs(found - rounded).max(initial=0) > 1e-3 * scale:
        return  # a hair decides it: a step, a tie
    torch_ids = (torch.from_numpy(part) for part in ids)
    others = {
        "torch": accepted(lambda: Executor(program, dtype=torch.float64).logits(*torch_ids).numpy()),
        "exported Python": accepted(lambda: _exported(program, ids)),
    }
    for where, other in others.items():
        assert other is None or np.abs(found - other).max(initial=0) <= 1e-6 * scale, f"{where} gives {other}, NumPy {found}"


def _exported(program: Program, ids: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(to_python(program), "exported.py", "exec"), space)
    with np.errstate(all="ignore"):
        return np.array([space["logits"](*row) for row in zip(*ids, strict=True)])


def run_command(words: list[str], folder: Path) -> int:
    """The exit code of a command, run in a folder; 0, 1 and 2 are those that there are, and what is said can be shown."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        try:
            with bounded():
                code: Any = main(words)
        except SystemExit as stop:
            code = stop.code or 0
    said = err.getvalue()
    assert code in (0, 1, 2), f"exit code {code}"
    assert "Traceback" not in said
    for line in (out.getvalue() + said).split("\n"):
        assert line.isprintable(), f"control characters: {line!r}"
    if code == 2 and not said.startswith("usage"):
        lines = said.replace(str(folder), "").rstrip("\n").split("\n")
        assert len(lines) in (1, 3), f"{len(lines)} lines: {said!r}"
    return int(code)
