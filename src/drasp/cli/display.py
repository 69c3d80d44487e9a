"""What a person sees while a decompilation or a study runs: one live line on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from drasp.cli.say import say
from drasp.errors import shown

if TYPE_CHECKING:
    from drasp.search.runner import Progress

SECONDS_BETWEEN_LINES = 2.0


class Step(Protocol):
    """What is shown: of a new phase at once, else every few seconds."""

    @property
    def phase(self) -> str: ...

    @property
    def seconds(self) -> float: ...


Shown = TypeVar("Shown", bound=Step)


class Display(Generic[Shown]):
    """A context manager; call it with each step. Where nobody reads it any more, it says nothing: that ends no search.

    Args:
        describe: gives the line of a step.
    """

    def __init__(self, describe: Callable[[Shown], str]) -> None:
        self._describe = describe
        self._status = None
        self._last = (float("-inf"), "")
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> "Display[Shown]":
        if self._status is not None:
            try:
                self._status.start()
            except OSError:
                self._status = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.stop()

    def __call__(self, step: Shown) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.update(shown(self._describe(step)).replace("[", r"\["))
            return
        then, phase = self._last
        if step.phase != phase or step.seconds - then >= SECONDS_BETWEEN_LINES:
            self._last = (step.seconds, step.phase)
            say(self._describe(step))

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._status is None:
            say(line)
            return
        with suppress(OSError):
            self._status.console.print(shown(line), markup=False, highlight=False, soft_wrap=True)


def describe(progress: "Progress") -> str:
    """One line: `12.3 s  linear norms: eliminate  9 statements  match 0.998  without a1`."""
    parts = [f"{progress.seconds:6.1f} s", progress.phase]
    if progress.statements is not None:
        parts.append(f"{progress.statements} statements")
    if progress.match is not None:
        parts.append(f"match {progress.match:.3f}")
    return "  ".join([*parts, progress.trying]).rstrip()
