"""Decompiles models with a limit on work, alone, beside others and with several numbers of threads, and compares what they leave.

    python benchmarks/work.py D2 tomita4 --work 30000
    python benchmarks/work.py ../shared/models/sort-1l1h256d3lr01drop --work 30000 --evidence quick

A model is the name of a bundled one, or a folder named TASK-... or bce_TASK-... . Where work is counted, nothing that a run does hangs on
the clock, so that program, operators, frontier and evidence must be the same byte for byte, but for the `seconds` of the run. Each row is a
run: "alone" as the machine is, "beside N" with so many processes that only spin, "one core" with a single core, "threads N" with
OMP_NUM_THREADS set. All are compared with the first. Ends with an error if one differs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from process import busy, drasp, task_flags

HEADER = "| model | run | seconds | verdict | statements | files that differ from the first run |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Way:
    """How a run is done: beside how many processes that only spin, on how many cores, with which environment variables."""

    name: str
    beside: int = 0
    cores: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--work", type=int, default=30_000)
    parser.add_argument("--busy", type=int, default=2, metavar="N", help="processes of the run beside others")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--match", default="0.99")
    parser.add_argument("--lengths", default="0-150")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--evidence", choices=["full", "quick"], default="full")
    arguments = parser.parse_args()
    flags = ["--work", str(arguments.work), "--match", arguments.match, "--lengths", arguments.lengths]
    flags += ["--seed", arguments.seed, "--evidence", arguments.evidence]
    ways = [Way("alone"), Way(f"beside {arguments.busy}", beside=arguments.busy), Way("one core", cores=1)]
    ways += [Way(f"threads {count}", environment={"OMP_NUM_THREADS": str(count)}) for count in arguments.threads]
    print(HEADER, flush=True)
    different = sum(_differ(model, ways, flags) for model in arguments.models)
    if different:
        sys.exit(f"{different} runs differ from the first")


def _differ(model: str, ways: list[Way], flags: list[str]) -> int:
    """How many runs of a model left something else than the first."""
    first: dict[str, bytes] | None = None
    different = 0
    for way in ways:
        with tempfile.TemporaryDirectory() as scratch, busy(way.beside):
            words = ("decompile", model, *task_flags(model), *flags, "--out", f"{scratch}/run")
            done = drasp(*words, environment=way.environment, cores=way.cores)
            if done.error:
                sys.exit(done.error)
            left = _left(Path(scratch) / "run")
        first = first or left
        files = sorted(file for file in {*first, *left} if first.get(file) != left.get(file))
        different += bool(files)
        evidence = json.loads(left["evidence.json"])
        told = f"{done.seconds:.1f} | {evidence['verdict']} | {evidence['size']['statements']} | {', '.join(files) or 'none'}"
        print(f"| {Path(model).name} | {way.name} | {told} |", flush=True)
    return different


def _left(run: Path) -> dict[str, bytes]:
    """Every file of a run, the evidence without the seconds of the clock."""
    files = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    evidence = json.loads(files["evidence.json"])
    del evidence["seconds"]
    return {**files, "evidence.json": json.dumps(evidence, indent=1).encode()}


if __name__ == "__main__":
    main()
