"""What the commands share in speaking: exit codes, and lines that are no result."""

import sys
from contextlib import suppress

BAD_INPUT, INTERRUPTED = 2, 130


def say(line: str) -> None:
    """On standard error; where that is closed or full, nothing is said."""
    if sys.stderr is None:  # it was closed before the start
        return
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
