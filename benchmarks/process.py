"""The command line, run in a process of its own and measured."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """A run of the command line: its exit code; None where that is 0 or 1, else what it said of its error; wall-clock seconds, peak memory
    in GB.
    """

    code: int
    error: str | None
    seconds: float
    peak: float


def drasp(*words: str, environment: Mapping[str, str] | None = None, cores: int | None = None) -> Measured:
    """Runs `drasp` with these words to its end.

    Args:
        environment: variables beside those there are.
        cores: how many it may use at the most; all by default.
    """
    allowed = sorted(os.sched_getaffinity(0))
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "drasp", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed[:cores]),
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # Linux counts ru_maxrss in KiB
    code = process.returncode = os.waitstatus_to_exitcode(status)
    error = None if code in (0, 1) else said.strip() or f"drasp ended with {code} and said nothing"
    return Measured(code, error, time.monotonic() - began, usage.ru_maxrss * 1024 / 1e9)


def drasp_or_exit(*words: str) -> Measured:
    """The same; where it ends with an error, this process says so and ends, too."""
    done = drasp(*words)
    if done.error:
        sys.exit(done.error)
    return done


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes beside it that only spin."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def task_flags(model: str) -> list[str]:
    """What tells `drasp decompile` the task of a model: nothing for a bundled one, else what stands before the `-` in the folder's name."""
    folder = Path(model)
    return ["--task", folder.name.removeprefix("bce_").partition("-")[0]] if folder.is_dir() else []


def by_band(evidence: Mapping[str, Any]) -> str:
    """Match and the lower end of its interval in each band; why there is none where it is a gap."""
    if evidence.get("match"):
        return ", ".join(f"{band['accuracy']:.4f} ({band['low']:.4f})" for band in evidence["match"]["bands"])
    return "gap: " + "; ".join(gap["reason"] for gap in evidence.get("gaps", []) if gap["kind"] == "match")
