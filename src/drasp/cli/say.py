"""What the commands share in speaking: exit codes, and lines that are no result."""

import sys

BAD_INPUT, INTERRUPTED = 2, 130


def say(line: str) -> None:
    """On standard error."""
    print(line, file=sys.stderr, flush=True)
