"""Decompiles models with several seeds and prints one table, each row a run of the command line in a process of its own.

    python benchmarks/decompile.py --models ../shared/models --tasks D2 D3 bin_majority ab_d_bc abcde --seeds 0 1 2
    python benchmarks/decompile.py --runs runs

Without `--models` the bundled models are run, all of them without `--tasks`. "Search s" are the seconds of the passes that came to their
end; "process s" and the peak memory are those of the whole process. "Named" gives for each named piece how close it is: of an attention the
total variation to the one it replaces, of a readout its agreement off the task. `--runs` keeps the run folder of each model's first seed.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from drasp.model.bundled import bundled_models
from process import by_band, drasp

HEADER = (
    "| model | seed | verdict | statements | opaque | numbers | match (low) by band | named | search s | process s | peak GB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="a folder of model folders named TASK-... or bce_TASK-...")
    parser.add_argument("--tasks", nargs="+", default=bundled_models())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--time", default="10m")
    parser.add_argument("--match", default="0.99")
    parser.add_argument("--evidence", choices=["full", "quick"], default="full")
    parser.add_argument("--runs", type=Path, help="a folder for the run folders of the first seed")
    arguments = parser.parse_args()
    print(HEADER, flush=True)
    for task in arguments.tasks:
        for seed in arguments.seeds:
            flags = ["--seed", str(seed), "--time", arguments.time, "--match", arguments.match, "--evidence", arguments.evidence]
            keep = arguments.runs if seed == arguments.seeds[0] else None
            print(_row(_model(arguments.models, task), task, flags, seed, keep), flush=True)


def _model(folder: Path | None, task: str) -> str:
    if folder is None:
        return task
    found = sorted([*folder.glob(f"{task}-*"), *folder.glob(f"bce_{task}-*")])
    if not found:
        sys.exit(f"{folder} has no model of task {task}")
    return str(found[0])


def _row(model: str, task: str, flags: list[str], seed: int, keep: Path | None) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        done = drasp("decompile", model, "--task", task, *flags, "--out", str(out))
        cost = f"{done.seconds:.1f} | {done.peak:.2f}"
        if done.error:
            return f"| {Path(model).name} | {seed} | error: {done.error.splitlines()[-1]} | | | | | | | {cost} |"
        evidence = json.loads((out / "evidence.json").read_text())
        if keep is not None:
            shutil.copytree(out, keep / Path(model).name, dirs_exist_ok=True)
    size = evidence["size"]
    verdict = evidence["verdict"] + " (out of time)" * evidence["stopped_by_time"]
    search = sum(step["seconds"] for step in evidence["passes"])
    named = ", ".join(_piece(piece) for piece in evidence.get("named", []))
    counts = f"{size['statements']} | {size['opaque']} | {size['numbers']}"
    return f"| {Path(model).name} | {seed} | {verdict} | {counts} | {by_band(evidence)} | {named} | {search:.1f} | {cost} |"


def _piece(piece: dict[str, object]) -> str:
    measure = piece.get("total_variation", piece.get("agreement"))
    return f"{piece['kind']} {measure}" + " (behaviour only)" * bool(piece["behaviour_only"])


if __name__ == "__main__":
    main()
