"""What a person sees while a decompilation runs: one live line on a terminal, plain lines elsewhere."""

import sys
from contextlib import suppress
from types import TracebackType

from drasp.cli.say import say
from drasp.errors import shown
from drasp.search.runner import Progress

SECONDS_BETWEEN_LINES = 2.0


class Display:
    """A context manager; call it with each `Progress`. Where nobody reads it any more, it says nothing: that ends no search."""

    def __init__(self) -> None:
        self._status = None
        self._last = (float("-inf"), "")
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> "Display":
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

    def __call__(self, progress: Progress) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.update(shown(describe(progress)).replace("[", r"\["))
            return
        then, phase = self._last
        if progress.phase != phase or progress.seconds - then >= SECONDS_BETWEEN_LINES:
            self._last = (progress.seconds, progress.phase)
            say(describe(progress))

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._status is None:
            say(line)
            return
        with suppress(OSError):
            self._status.console.print(shown(line), markup=False, highlight=False, soft_wrap=True)


def describe(progress: Progress) -> str:
    """One line: `12.3 s  linear norms: eliminate  9 statements  match 0.998  without a1`."""
    parts = [f"{progress.seconds:6.1f} s", progress.phase]
    if progress.statements is not None:
        parts.append(f"{progress.statements} statements")
    if progress.match is not None:
        parts.append(f"match {progress.match:.3f}")
    return "  ".join([*parts, progress.trying]).rstrip()
