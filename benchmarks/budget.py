"""Decompiles models within time limits, and prints one table of how well they are kept and what there is at their end.

    python benchmarks/budget.py D2 ../shared/models/sort-1l1h256d3lr01drop --time 30s 1m 2m
    python benchmarks/budget.py D2 --time 30s --busy 2
    python benchmarks/budget.py D2 tomita4 --random 10 --between 1s 20s --seed 0

A model is the name of a bundled one, or a folder named TASK-... or bce_TASK-... . `--random` draws so many limits for each model instead,
most of them short. `--busy` lets processes run beside it that only spin. "Seconds" are those of the whole process, what it takes to start
included; "ratio" is that to the limit. "Match" is that of the worst length band and the lower end of its interval. A kind that
`--evidence quick` leaves out is no gap. Ends with an error if a run left no program, or ended with another code than 0 or 1.
"""

import argparse
import json
import random
import sys
import tempfile
from math import exp, log
from pathlib import Path
from typing import Any

from drasp.cli.arguments import seconds
from drasp.errors import DraspError
from drasp.lang.folder import load_program
from process import Measured, busy, drasp, task_flags

HEADER = "| model | limit s | seconds | ratio | exit code | verdict | statements | match | gaps |\n|---|---|---|---|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--time", nargs="+", type=seconds, default=[30.0, 60.0, 120.0], help="the limits")
    parser.add_argument("--random", type=int, metavar="N", help="so many limits that are drawn, instead")
    parser.add_argument("--between", nargs=2, type=seconds, default=[1.0, 20.0], help="these they are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the limits that are drawn")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes beside it that only spin")
    parser.add_argument("--match", default="0.99")
    parser.add_argument("--lengths", default="0-150")
    parser.add_argument("--evidence", choices=["full", "quick"], default="full")
    arguments = parser.parse_args()
    drawn, empty = random.Random(arguments.seed), 0
    flags = ["--match", arguments.match, "--lengths", arguments.lengths, "--evidence", arguments.evidence]
    print(HEADER, flush=True)
    with busy(arguments.busy):
        for model in arguments.models:
            limits = arguments.time if arguments.random is None else _drawn(drawn, arguments.random, *arguments.between)
            for limit in limits:
                row, left = _row(model, limit, flags)
                empty += not left
                print(row, flush=True)
    if empty:
        sys.exit(f"{empty} runs left no program, or ended with an error")


def _drawn(rng: random.Random, count: int, low: float, high: float) -> list[float]:
    """Limits of which as many are between 1 and 2 seconds as between 10 and 20."""
    return [round(exp(rng.uniform(log(low), log(high))), 2) for _ in range(count)]


def _row(model: str, limit: float, flags: list[str]) -> tuple[str, bool]:
    """What is to be told of a run, and whether it left a program."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        done = drasp("decompile", model, *task_flags(model), "--time", f"{limit}s", *flags, "--out", str(out))
        cost = f"| {Path(model).name} | {limit:g} | {done.seconds:.1f} | {done.seconds / limit:.2f} | {done.code} |"
        try:
            program, evidence = load_program(out), json.loads((out / "evidence.json").read_text())
        except (DraspError, OSError) as missing:
            return f"{cost} no program: {_last(done, missing)} | | | |", False
    verdict = evidence["verdict"] + " (out of time)" * evidence["stopped_by_time"]
    return f"{cost} {verdict} | {len(program.statements)} | {_worst(evidence)} | {_gaps(evidence)} |", done.error is None


def _last(done: Measured, missing: Exception) -> str:
    return (done.error or str(missing)).splitlines()[-1]


def _worst(evidence: dict[str, Any]) -> str:
    if not evidence.get("match"):
        return "gap"
    band = min(evidence["match"]["bands"], key=lambda one: one["low"])
    return f"{band['accuracy']:.4f} ({band['low']:.4f})"


def _gaps(evidence: dict[str, Any]) -> str:
    """The kinds that could not be measured, each with the reason."""
    gaps = [gap for gap in evidence["gaps"] if not gap["reason"].startswith("left out by")]
    return "; ".join(f"{gap['kind']}: {gap['reason']}" for gap in gaps)


if __name__ == "__main__":
    main()
