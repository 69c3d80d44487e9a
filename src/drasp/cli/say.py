"""What the commands share in speaking: exit codes, and lines that are no result."""

import sys
from contextlib import suppress

from drasp.errors import shown

BAD_INPUT, INTERRUPTED = 2, 130


def tell(text: str) -> None:
    """A result, on standard output."""
    print(shown(text))


def say(line: str) -> None:
    """On standard error; where that is closed or full, nothing is said."""
    if sys.stderr is None:  # it was closed before the start
        return
    with suppress(OSError):
        print(shown(line), file=sys.stderr, flush=True)
