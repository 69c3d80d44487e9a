"""`drasp study`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drasp.cli.arguments import positive
from drasp.cli.say import INTERRUPTED, say, tell

if TYPE_CHECKING:
    from drasp.study.run import Progress

TEXT = "train and decompile all models of a grid, and say whether exactly those that generalise have short programs"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("grid", metavar="GRID", type=Path, help="a TOML file: which models are trained, and how each is decompiled")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the study; the same command goes on with what is there")
    parser.add_argument("--workers", type=positive, help="processes on this machine (default: one a core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask cluster instead, like tcp://host:8786")


def command(arguments: argparse.Namespace) -> int:
    from drasp.cli.display import Display
    from drasp.core.parallel import cores
    from drasp.study.grid import read_grid

    grid = read_grid(arguments.grid)
    from drasp.study.page import REPORT, answer, write_report
    from drasp.study.run import Workforce, results_of, run_study

    workforce, out = Workforce(arguments.workers or cores(), arguments.scheduler), arguments.out
    interrupted = False
    with Display(describe) as display:
        try:
            rows = run_study(grid, out, workforce, display)
        except KeyboardInterrupt:
            interrupted, rows = True, results_of(grid, out)
    write_report(rows, out)
    tell(answer(rows))
    tell(f"written to {out}: {REPORT} to look at, results.csv to work with")
    if interrupted:
        say("interrupted; the same command goes on")
    return INTERRUPTED if interrupted else 0


def describe(progress: "Progress") -> str:
    """One line: `  35 s  3 of 12, about 2 min left  2 generalise, 2 with a short program  last: D2-1l1h16-seed0-d0c24704 decompiled`."""
    left = "" if progress.left is None or progress.done == progress.cells else f", about {_time(progress.left)} left"
    parts = [f"{_time(progress.seconds):>6}", f"{progress.done} of {progress.cells}{left}"]
    parts.append(f"{progress.generalise} generalise, {progress.programs} with a short program")
    if progress.interrupted:
        parts.append("interrupted, ending the processes")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.latest:
        last = progress.latest[-1]
        parts.append(f"last: {last.cell} {last.verdict if last.error is None else last.error}")
    return "  ".join(parts)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
