"""What a study bears: kills at random moments, many cells, one worker and several.

    python benchmarks/study.py kills --moments 10 --seed 0
    python benchmarks/study.py ways
    python benchmarks/study.py scale --cells 10000
    python benchmarks/study.py growth --cells 2 4 8 --workers 1 2

`kills` runs a small grid to its end, and again with a process killed at a random moment: a worker, the command, or the scheduler of a
cluster started by hand. The command is then given again until it ends well; its `results.csv` must be the same but for seconds and memory.
`ways` runs it on one worker, on two, and through a scheduler started by hand, each from nothing.
`scale` does cells that take 10 ms each and nothing else, half of them done before. `growth` decompiles one model
again and again.
"""

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from drasp.core.records import to_json
from drasp.search.record import replace_text
from drasp.study.cell import CELLS, ROWS, empty_row, finished
from drasp.study.grid import Cell, read_grid
from drasp.study.row import VARYING, Row
from drasp.study.run import RESULTS, Workforce, run_study

SMALL = """
[decompile]
work = 3000

[[models]]
task = ["tomita1", "abcde", "bin_majority"]
steps = 60
seed = [0, 1, 2, 3]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    kills = kinds.add_parser("kills")
    kills.add_argument("--moments", type=int, default=10)
    kills.add_argument("--seed", type=int, default=0)
    kills.set_defaults(run=_kills)
    kinds.add_parser("ways").set_defaults(run=_ways)
    scale = kinds.add_parser("scale")
    scale.add_argument("--cells", type=int, default=10_000)
    scale.add_argument("--workers", type=int, default=2)
    scale.set_defaults(run=_scale)
    growth = kinds.add_parser("growth")
    growth.add_argument("--cells", type=int, nargs="+", default=[2, 4, 8])
    growth.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    growth.set_defaults(run=_growth)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.run(arguments, Path(folder))


def table(out: Path) -> list[dict[str, str]]:
    """The rows without what differs from run to run."""
    rows = csv.DictReader(io.StringIO((out / RESULTS).read_text()))
    return [{key: value for key, value in row.items() if key not in VARYING} for row in rows]


def command(grid: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "drasp", "study", str(grid), "--out", str(out), *flags]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        dask = [str(Path(sys.executable).with_name("dask"))]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        port = self.address.rpartition(":")[2]
        self.scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"], **quiet)
        worker = [*dask, "worker", self.address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
        self.workers = subprocess.Popen(worker, **quiet)

    def close(self) -> None:
        for process in (self.workers, self.scheduler):
            _kill(process.pid)
            process.wait()


def _kill(pid: int) -> None:
    """A process and all that it started."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in reversed(family):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def _kills(arguments: argparse.Namespace, folder: Path) -> None:
    grid, rng = folder / "grid.toml", random.Random(arguments.seed)
    grid.write_text(SMALL)
    began = time.monotonic()
    whole = command(grid, folder / "whole")
    print(f"to the end: exit code {whole.wait()}, {time.monotonic() - began:.0f} s, {len(table(folder / 'whole'))} rows", flush=True)
    seconds = time.monotonic() - began
    print("| killed | after s | exit codes | last line of the first | rows the same |\n|---|---|---|---|---|")
    for number in range(arguments.moments):
        what = ("worker", "command", "scheduler")[number % 3]
        after = rng.uniform(1, 0.9 * seconds)
        codes, line = _killed(what, after, grid, folder / str(number))
        same = table(folder / str(number)) == table(folder / "whole")
        print(f"| {what} | {after:.1f} | {', '.join(map(str, codes))} | {line} | {same} |", flush=True)


def _killed(what: str, after: float, grid: Path, out: Path) -> tuple[list[int], str]:
    cluster = Cluster() if what == "scheduler" else None
    flags = ["--scheduler", cluster.address] if cluster else ["--workers", "2"]
    codes, first = [], ""
    for attempt in range(5):
        process = command(grid, out, *flags)
        if attempt == 0:
            time.sleep(after)
            if what == "worker":
                _kill_a_worker(process.pid)
            elif what == "command":
                os.kill(process.pid, signal.SIGKILL)
            else:
                assert cluster is not None
                cluster.close()
        _, errors = process.communicate()
        first = first or (errors.strip().splitlines() or ["-"])[-1]
        codes.append(process.returncode)
        if process.returncode == 0:
            break
        if cluster is not None:
            cluster = Cluster()
            flags = ["--scheduler", cluster.address]
    if cluster is not None:
        cluster.close()
    return codes, first


def _ways(arguments: argparse.Namespace, folder: Path) -> None:
    grid, cluster = folder / "grid.toml", Cluster()
    grid.write_text(SMALL)
    ways = {"one worker": ["--workers", "1"], "two workers": ["--workers", "2"], "a scheduler": ["--scheduler", cluster.address]}
    print("| on | exit code | rows | the same as on one worker |\n|---|---|---|---|")
    try:
        for way, flags in ways.items():
            code, rows = command(grid, folder / way, *flags).wait(), table(folder / way)
            print(f"| {way} | {code} | {len(rows)} | {rows == table(folder / 'one worker')} |", flush=True)
    finally:
        cluster.close()


def _kill_a_worker(pid: int) -> None:
    """One of the processes that work, if any has started."""
    for process in psutil.Process(pid).children(recursive=True):
        if "spawn_main" in " ".join(process.cmdline()):
            process.send_signal(signal.SIGKILL)
            return


def ten_milliseconds(cell: Cell, study: Path) -> None:
    """A cell that does nothing, and leaves what a cell leaves."""
    time.sleep(0.01)
    _leave(study / CELLS / cell.name, (empty_row(cell),))


def _leave(folder: Path, rows: tuple[Row, ...]) -> None:

    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / ROWS, json.dumps([to_json(row) for row in rows]))


def _scale(arguments: argparse.Namespace, folder: Path) -> None:
    file, out = folder / "grid.toml", folder / "study"
    file.write_text(f'[[models]]\ntask = "D2"\nseed = {list(range(arguments.cells))}\n')
    began = time.monotonic()
    grid = read_grid(file)
    print(f"{len(grid.cells)} cells read in {time.monotonic() - began:.1f} s")
    for cell in grid.cells[::2]:
        _leave(out / CELLS / cell.name, (empty_row(cell),))
    (out / "grid.toml").write_text("")
    began = time.monotonic()
    assert sum(finished(cell, out) is not None for cell in grid.cells) == len(grid.cells[::2])
    print(f"what is done is known after {time.monotonic() - began:.1f} s")
    told: list[float] = []
    began = time.monotonic()
    rows = run_study(grid, out, Workforce(arguments.workers, work=ten_milliseconds), lambda progress: told.append(progress.seconds))
    left, seconds = len(grid.cells[1::2]), told[-1] - told[0]
    print(f"{len(rows)} rows; {left} cells in {seconds:.1f} s, of which they take {left * 0.01 / arguments.workers:.1f} s themselves:")
    print(f"{1000 * (seconds - left * 0.01 / arguments.workers) / left:.2f} ms a cell; the whole command {time.monotonic() - began:.1f} s")


def _growth(arguments: argparse.Namespace, folder: Path) -> None:
    model = folder / "model"
    subprocess.run([sys.executable, "-m", "drasp", "train", "D2", "--position", "none", "--steps", "3000", "--out", str(model)], check=True)
    print("| workers | cells | seconds | longest cell, seconds | most MB of a worker |\n|---|---|---|---|---|")
    for workers in arguments.workers:
        for cells in arguments.cells:
            grid, out = folder / "grid.toml", folder / f"{workers}-{cells}"
            copies = [str(_copied(model, folder / f"model-{cell}", cell)) for cell in range(cells)]
            grid.write_text(f'predict = true\n\n[[models]]\ntask = "D2"\nmodel = {copies}\n')
            began = time.monotonic()
            command(grid, out, "--workers", str(workers)).wait()
            seconds = time.monotonic() - began
            rows = list(csv.DictReader(io.StringIO((out / RESULTS).read_text())))
            took, most = (max(float(row[column]) for row in rows) for column in ("seconds", "memory_mb"))
            print(f"| {workers} | {cells} | {seconds:.1f} | {took:.1f} | {most:.0f} |", flush=True)


def _copied(model: Path, copy: Path, blanks: int) -> Path:
    """The same model in another folder: what differs is so many blanks in its configuration, for which a study takes it as another."""
    shutil.copytree(model, copy, dirs_exist_ok=True)
    (copy / "config.json").write_text((model / "config.json").read_text() + " " * blanks)
    return copy


if __name__ == "__main__":
    main()
