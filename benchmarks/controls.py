"""Decompiles models whose weights were shuffled, and prints one table: what has learnt nothing should give no program worth reading.

    python benchmarks/controls.py --models ../shared/models --tasks sort unique_copy --seeds 0 1 2 --time 10m

The entries of each weight matrix, embeddings included, are permuted among themselves; biases and LayerNorms stay. Without `--models` the
bundled models of the tasks are shuffled. The seed is that of the permutation and of the decompilation. Beside each verdict stands the match
of the best constant and of the best current-token table: where it is high, what the model does is trivial, and a short program no surprise.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from drasp.model.bundled import resolve_model
from process import by_band, drasp

HEADER = (
    "| shuffled model | seed | verdict | statements | opaque | numbers | match (low) by band | constant | current token | process s |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="a folder of model folders named TASK-... or bce_TASK-...")
    parser.add_argument("--tasks", nargs="+", default=["sort", "unique_copy"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--time", default="10m")
    parser.add_argument("--match", default="0.99")
    arguments = parser.parse_args()
    print(HEADER, flush=True)
    for task in arguments.tasks:
        model = _model(arguments.models, task)
        for seed in arguments.seeds:
            flags = ["--seed", str(seed), "--time", arguments.time, "--match", arguments.match, "--evidence", "quick"]
            print(_row(model, task, seed, flags), flush=True)


def shuffle_model(model: Path, out: Path, seed: int) -> None:
    """Writes the model folder `out`, like `model` but with the entries of each weight matrix permuted."""
    rng = np.random.default_rng(seed)
    out.mkdir(parents=True)
    shutil.copy(model / "config.json", out)
    weights = load_file(model / "model.safetensors")
    shuffled = {
        name: rng.permutation(weights[name].ravel()).reshape(weights[name].shape) for name in sorted(weights) if _is_matrix(name, weights)
    }
    save_file(weights | shuffled, out / "model.safetensors", metadata={"format": "pt"})


def _is_matrix(name: str, weights: dict[str, np.ndarray]) -> bool:
    """Whether a tensor is a weight matrix: not a bias, a LayerNorm, or the causal mask that old checkpoints hold."""
    return weights[name].ndim == 2 and name.endswith("weight")


def _model(folder: Path | None, task: str) -> Path:
    if folder is None:
        return resolve_model(task)[0]
    found = sorted([*folder.glob(f"{task}-*"), *folder.glob(f"bce_{task}-*")])
    if not found:
        sys.exit(f"{folder} has no model of task {task}")
    return found[0]


def _row(model: Path, task: str, seed: int, flags: list[str]) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        shuffled, out = Path(scratch) / model.name, Path(scratch) / "run"
        shuffle_model(model, shuffled, seed)
        done = drasp("decompile", str(shuffled), "--task", task, *flags, "--out", str(out))
        if done.error:
            return f"| {model.name} | {seed} | error: {done.error.splitlines()[-1]} | | | | | | | {done.seconds:.1f} |"
        evidence = json.loads((out / "evidence.json").read_text())
    size = evidence["size"]
    verdict = evidence["verdict"] + " (out of time)" * evidence["stopped_by_time"]
    baseline = evidence.get("baseline") or {}
    trivial = " | ".join(f"{baseline[name]['all']['accuracy']:.4f}" if baseline else "" for name in ("constant", "current_token"))
    counts = f"{size['statements']} | {size['opaque']} | {size['numbers']}"
    return f"| {model.name} | {seed} | {verdict} | {counts} | {by_band(evidence)} | {trivial} | {done.seconds:.1f} |"


if __name__ == "__main__":
    main()
