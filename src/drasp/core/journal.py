"""What a run has learned so far, so that one that was killed goes on: the answers to its expensive questions, in the order it asked them.

A search is deterministic but for what it asks of the model and of the clock. Given the same answers it takes the same way, so nothing else
is kept: a run that goes on asks again from the start, and is answered from the file until it comes to where it was killed. Each answer
stands beside what it was asked about, so that it cannot answer for another program.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from opcode import opmap
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import numpy as np

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.records import LARGEST
from drasp.errors import RunFolderError

Answer = TypeVar("Answer")

STOP = "out of budget"
LIBRARIES = ("numpy", "scipy", "torch")  # whose versions decide the digits of an answer
NOTHING = opmap["NOP"]  # stands where a docstring or a broken line was
WITHOUT_ANSWERS = ("cli", "study", "view")  # packages that no answer depends on


class _Entry(NamedTuple):
    """One line of the file: a checksum, then these as JSON.

    Attributes:
        question: what was asked, and about what.
        spent: what the run had spent when it was answered, in the unit of its budget.
        answer: JSON values, and arrays.
    """

    question: str
    spent: float
    answer: Any


class Journal:
    """The answers of a run, also of an earlier process; without a file they are forgotten.

    Args:
        file: where each answer is added as soon as it is there. What stands there from another run, or from a damaged line on, counts for
            nothing and is replaced.
        run: what tells this run from others: settings, versions.

    Attributes:
        failed: why nothing is added any more, where the file could not be written (the disk is full): what was answered by then stays.
    """

    def __init__(self, file: Path | None = None, run: str = "") -> None:
        self._known: list[_Entry] = []
        self._starts: list[int] = []  # of each known line, in bytes
        self._next = 0
        self._stop_told = False
        self.failed: str | None = None
        self._file = file
        self._end = 0  # of the file, in bytes
        if file is not None:
            try:
                self._read(file, run)
            except OSError as error:
                raise RunFolderError(f"{file} cannot be written: {error.strerror}") from None

    @property
    def used(self) -> float:
        """What earlier processes spent."""
        return self._known[-1].spent if self._known else 0.0

    def once(self, question: str, about: str, ask: Callable[[], Answer], budget: Budget) -> Answer:
        """What `ask` gives, or gave: JSON values and arrays. It must not call `once` itself.

        Args:
            about: a digest of what is asked about.
            budget: replayed while the journal answers, and live from the last answer that it has.

        Raises:
            OutOfBudget: the budget was spent while this was asked.
        """
        whole = f"{question} {about}"
        self._stop_told = False
        if self._next < len(self._known):
            known = self._known[self._next]
            if known.question in (whole, STOP):
                self._pass(budget)
                if known.question == STOP:
                    self._stop_told = True
                    raise OutOfBudget
                return known.answer
            self._forget_rest()
        budget.replay(None)
        try:
            answer = ask()
        except OutOfBudget:
            self._tell_stop(None, budget)
            budget.replay(None)
            self._stop_told = True
            raise
        self._write(lambda: self._append(_line([whole, round(budget.spent(), 3), answer])))
        budget.replay(None)
        return answer

    def stopped(self, budget: Budget) -> None:
        """The last check ended a slice of the budget: when the run goes on, that check ends it again. Whoever catches OutOfBudget tells."""
        told, self._stop_told = self._stop_told, False
        if told:
            return
        if self._next < len(self._known):
            if self._known[self._next].question == STOP:
                self._pass(budget)
                return
            self._forget_rest()
        self._tell_stop(budget.checks, budget)
        budget.replay(None)

    def close(self, budget: Budget) -> None:
        """Nothing is added any more, nor answered, and the budget is live: a run that was interrupted goes on from here."""
        self._known = []
        self._file = None
        budget.replay(None)

    def _read(self, file: Path, run: str) -> None:
        first = _line(["drasp", 0.0, _fingerprint(run)])
        data = file.read_bytes() if file.exists() else b""
        self._end = len(data)
        if not data.startswith(first):
            self._cut(0)
            self._append(first)
            return
        end = len(first)
        for line in data[end:].splitlines(keepends=True):
            entry = _entry(line)
            if entry is None:
                break
            self._known.append(entry)
            self._starts.append(end)
            end += len(line)
        self._cut(end)

    def _pass(self, budget: Budget) -> None:
        """The next line is answered; behind the last the run is live."""
        spent = self._known[self._next].spent
        self._next += 1
        if self._next == len(self._known):
            budget.replay(spent)
            budget.replay(None)
        else:
            following = self._known[self._next]
            budget.replay(spent, following.answer if following.question == STOP else None)

    def _tell_stop(self, check: int | None, budget: Budget) -> None:
        """`check`: which one since the last answer ended a slice; None for one while something was asked."""
        self._write(lambda: self._append(_line([STOP, round(budget.spent(), 3), check])))

    def _forget_rest(self) -> None:
        """The run has taken another way than before."""
        self._write(lambda: self._cut(self._starts[self._next]))
        del self._known[self._next :]

    def _write(self, change: Callable[[], None]) -> None:
        """Changes the file as long as it can be written: what can no longer be kept is no reason to end a search."""
        if self._file is None:
            return
        try:
            change()
        except OSError as error:
            self.failed, self._file = f"{self._file} cannot be written: {error.strerror}", None

    def _cut(self, end: int) -> None:
        assert self._file is not None
        if end < self._end:
            os.truncate(self._file, end)
            self._end = end

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        with self._file.open("ab") as file:
            if file.tell() != self._end:
                raise RunFolderError(f"{self._file}: another process works on the same run")
            file.write(line)
        self._end += len(line)


def digest(*parts: object) -> str:
    """A short digest of arrays, bytes, and what else is told apart by `repr`."""
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
        else:
            found.update(part if isinstance(part, bytes) else repr(part).encode())
    return found.hexdigest()


def _line(entry: list[Any]) -> bytes:
    text = json.dumps(entry, default=_pack).encode()
    return b"%08x %b\n" % (crc32(text), text)


def _entry(line: bytes) -> _Entry | None:
    """None where the line is damaged."""
    text = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % crc32(text):
        return None
    try:
        entry = _Entry(*json.loads(text, object_hook=_unpack))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return entry if _sound(entry) else None


def _sound(entry: _Entry) -> bool:
    """Whether a line holds what a run writes; what its answer must be is known only where it is asked for."""
    if not isinstance(entry.question, str) or type(entry.spent) not in (int, float) or not 0 <= entry.spent < LARGEST:
        return False
    return entry.question != STOP or type(entry.answer) in (int, type(None))


def _pack(array: object) -> dict[str, object]:
    assert isinstance(array, np.ndarray)
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": base64.b64encode(array.tobytes()).decode()}


def _unpack(packed: dict[str, Any]) -> Any:
    if "base64" not in packed:
        return packed
    return np.frombuffer(base64.b64decode(packed["base64"]), packed["dtype"]).reshape(packed["shape"]).copy()


def _fingerprint(run: str) -> str:
    """Of the run, and of the code that answers: with other code it would be answered otherwise."""
    from importlib.metadata import version  # here, as it is slow to import, and most commands read no journal

    return digest(run, [version(library) for library in LIBRARIES], _code())


@cache
def _code() -> str:
    root = Path(__file__).parents[1]
    sources = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in WITHOUT_ANSWERS)
    return digest(*(code_of(path.read_text(encoding="utf-8")) for path in sources))


def code_of(source: str) -> str:
    """A digest of what Python source does. Comments, docstrings and assertions do not count; layout only where it moves a jump."""
    return digest(*_instructions(compile(source, "", "exec", dont_inherit=True, optimize=2)))


def _instructions(code: CodeType) -> Iterator[object]:
    """All that a code object tells but the lines and the file that it is from."""
    steps = np.frombuffer(code.co_code, dtype="<u2")  # an instruction is its number, then its argument, a byte each
    yield steps[steps & 0xFF != NOTHING].tobytes()
    yield code.co_exceptiontable
    yield code.co_name, code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    yield code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
        else:  # the order of a set is another in each process
            yield sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
