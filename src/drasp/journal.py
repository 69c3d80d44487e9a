"""What a run has learned so far, so that one that was killed goes on: the answers to its expensive questions, in the order it asked them.

A search is deterministic but for what it asks of the model and of the clock. Given the same answers it takes the same way, so nothing else
is kept: a run that goes on asks again from the start, and is answered from the file until it comes to where it was killed.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import numpy as np

from drasp.errors import RunFolderError

Answer = TypeVar("Answer")

STOP = "time is up"


class TimeIsUp(BaseException):
    """The search has used its share of the time."""


class _Entry(NamedTuple):
    """One line of the file: a checksum, then these as JSON.

    Attributes:
        question: what was asked.
        seconds: of the run, when it was answered.
        answer: JSON values, and arrays.
    """

    question: str
    seconds: float
    answer: Any


class Journal:
    """The answers of a run, also of an earlier process; without a file they are forgotten.

    Args:
        file: where each answer is added as soon as it is there. What stands there from another run, or from a damaged line on, counts for
            nothing and is replaced.
        run: what tells this run from others: settings, versions.

    Attributes:
        start: when the run began, as `time.monotonic` tells it, less what earlier processes took.
    """

    def __init__(self, file: Path | None = None, run: str = "") -> None:
        self._known: list[_Entry] = []
        self._starts: list[int] = []  # of each known line, in bytes
        self._next = 0
        self._checks = 0  # of the time, since the last answer
        self._file = file
        self._end = 0  # of the file, in bytes
        self.start = time.monotonic()
        if file is not None:
            try:
                self._read(file, run)
            except OSError as error:
                raise RunFolderError(f"{file} cannot be written: {error.strerror}") from None

    @property
    def used(self) -> float:
        """Seconds that earlier processes took."""
        return self._known[-1].seconds if self._known else 0.0

    def seconds(self) -> float:
        """Seconds of the run so far; while it is answered from the file, those that it had then."""
        if self._next < len(self._known):
            return self._known[self._next - 1].seconds if self._next else 0.0
        return time.monotonic() - self.start

    def once(self, question: str, ask: Callable[[], Answer]) -> Answer:
        """What `ask` gives, or gave: JSON values and arrays. It must not call `once` itself.

        Raises:
            TimeIsUp: time was up while this was asked.
        """
        if self._next < len(self._known):
            known = self._known[self._next]
            if known.question in (question, STOP):
                self._pass()
                if known.question == STOP:
                    raise TimeIsUp
                return known.answer
            self._forget_rest()
        answer = ask()
        self._write(question, answer)
        return answer

    def check_time(self, deadline: float) -> None:
        """Stops the search where it was stopped before, or where no more is known and the deadline, as `time.monotonic` tells it, is past.

        Raises:
            TimeIsUp
        """
        self._checks += 1
        if self._next < len(self._known):
            known = self._known[self._next]
            if known.question == STOP and known.answer == self._checks:
                self._pass()
                raise TimeIsUp
        elif time.monotonic() > deadline:
            self._write(STOP, self._checks)
            raise TimeIsUp

    def close(self) -> None:
        """Nothing is added any more, nor answered: a run that was interrupted goes on from here."""
        self._known = []
        self._file = None

    def _pass(self) -> None:
        self._next += 1
        self._checks = 0

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

    def _forget_rest(self) -> None:
        """The run has taken another way than before."""
        if self._file is not None:
            self._cut(self._starts[self._next])
        del self._known[self._next :]

    def _cut(self, end: int) -> None:
        assert self._file is not None
        if end < self._end:
            os.truncate(self._file, end)
            self._end = end

    def _write(self, question: str, answer: object) -> None:
        self._checks = 0
        if self._file is not None:
            self._append(_line([question, round(time.monotonic() - self.start, 3), answer]))

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        with self._file.open("ab") as file:
            if file.tell() != self._end:
                raise RunFolderError(f"{self._file}: another process works on the same run")
            file.write(line)
        self._end += len(line)


def _line(entry: list[Any]) -> bytes:
    text = json.dumps(entry, default=_pack).encode()
    return b"%08x %b\n" % (crc32(text), text)


def _entry(line: bytes) -> _Entry | None:
    """None where the line is damaged."""
    text = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % crc32(text):
        return None
    return _Entry(*json.loads(text, object_hook=_unpack))


def _pack(array: object) -> dict[str, object]:
    assert isinstance(array, np.ndarray)
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": base64.b64encode(array.tobytes()).decode()}


def _unpack(packed: dict[str, Any]) -> Any:
    if "base64" not in packed:
        return packed
    return np.frombuffer(base64.b64decode(packed["base64"]), packed["dtype"]).reshape(packed["shape"]).copy()


def _fingerprint(run: str) -> str:
    """Of the run and of the code: with other code it would take another way."""
    digest = hashlib.sha256(run.encode())
    for library in ("numpy", "scipy", "torch"):
        digest.update(version(library).encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
