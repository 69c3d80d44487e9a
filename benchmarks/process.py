"""The command line, run in a process of its own and measured."""

import os
import subprocess
import sys
import time
from typing import NamedTuple


class Measured(NamedTuple):
    """A run of the command line that ended with 0 or 1, or what it said of its error; wall-clock seconds, peak memory in GB."""

    error: str | None
    seconds: float
    peak: float


def drasp(*words: str) -> Measured:
    """Runs `drasp` with these words to its end."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "drasp", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # Linux counts ru_maxrss in KiB
    process.returncode = os.waitstatus_to_exitcode(status)
    error = None if process.returncode in (0, 1) else said.strip() or f"drasp ended with {process.returncode} and said nothing"
    return Measured(error, time.monotonic() - began, usage.ru_maxrss * 1024 / 1e9)


def drasp_or_exit(*words: str) -> Measured:
    """The same; where it ends with an error, this process says so and ends, too."""
    done = drasp(*words)
    if done.error:
        sys.exit(done.error)
    return done
