"""How the time of a decompilation grows with layers and heads: a table, a plot where matplotlib is installed, and the growth exponents.

    python benchmarks/scaling.py --scratch runs/scaling
    python benchmarks/scaling.py --scratch runs/scaling --task majority --layers 1 2 4 --heads 1 2 4 --width 64 --steps 2000 --time 20m

Every model is trained here for some hundred steps (`drasp train`, kept in the scratch folder and not trained again), then decompiled in a
process of its own. "Search s" are the seconds of the passes that came to their end, "components s" those of `prune circuit`, before the
program is expanded; "process s" and peak memory are those of everything, the full evidence included. A growth exponent is the slope of the
log of the process's seconds on log layers over the runs that ended in time: 1 is linear, 2 quadratic. Where one layer does with linear
norms it is far quicker than the rest, which go by components, and says little about growth; so the exponent from the second number of
layers on is given too.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from process import drasp_or_exit

HEADER = (
    "| layers | heads | model right | verdict | statements | match | components s | search s | process s | peak GB |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


class Run(NamedTuple):
    """One decompilation; seconds of the process, and whether it ended in time."""

    layers: int
    heads: int
    seconds: float
    in_time: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for models, runs and the plot")
    parser.add_argument("--task", default="bin_majority")
    parser.add_argument("--layers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--match", default="0.95")
    parser.add_argument("--lengths", default="0-150")
    parser.add_argument("--time", default="20m")
    arguments = parser.parse_args()
    print(f"{arguments.task}, width {arguments.width}, trained for {arguments.steps} steps on lengths 0-50\n\n{HEADER}", flush=True)
    runs = [_run(layers, heads, arguments) for heads in arguments.heads for layers in arguments.layers]
    print()
    for heads in arguments.heads:
        for least in sorted(set(arguments.layers))[:2]:
            done = [run for run in runs if run.heads == heads and run.in_time and run.layers >= least]
            if len(done) > 1:
                slope = np.polyfit(np.log([run.layers for run in done]), np.log([run.seconds for run in done]), 1)[0]
                print(f"{heads} heads, from {least} layers on: seconds grow as layers to the power {slope:.2f} ({len(done)} runs)")
    _plot(runs, arguments.scratch / "scaling.png")


def _run(layers: int, heads: int, arguments: argparse.Namespace) -> Run:
    name = f"{arguments.task}-{layers}l{heads}h{arguments.width}-{arguments.steps}"
    model, out = arguments.scratch / name, arguments.scratch / f"{name}-run"
    if not (model / "model.safetensors").exists():
        shape = ["--layers", str(layers), "--heads", str(heads), "--width", str(arguments.width)]
        drasp_or_exit("train", arguments.task, "--out", str(model), *shape, "--steps", str(arguments.steps))
    limits = ["--match", arguments.match, "--lengths", arguments.lengths, "--time", arguments.time]
    done = drasp_or_exit("decompile", str(model), "--task", arguments.task, "--out", str(out), "--force", *limits)
    evidence = json.loads((out / "evidence.json").read_text())
    passes = {step["name"]: step["seconds"] for step in evidence["passes"]}
    verdict = evidence["verdict"] + " (out of time)" * evidence["stopped_by_time"]
    components = sum(seconds for name, seconds in passes.items() if name.endswith(": prune circuit"))
    nothing = {"bands": [{"accuracy": float("nan")}]}  # a gap
    right, match = (min(band["accuracy"] for band in (evidence.get(key) or nothing)["bands"]) for key in ("model_task", "match"))
    print(
        f"| {layers} | {heads} | {right:.3f} | {verdict} | {evidence['size']['statements']} | {match:.4f} "
        f"| {components:.1f} | {sum(passes.values()):.1f} | {done.seconds:.1f} | {done.peak:.2f} |",
        flush=True,
    )
    return Run(layers, heads, done.seconds, not evidence["stopped_by_time"])


def _plot(runs: list[Run], file: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

    for heads in dict.fromkeys(run.heads for run in runs):
        mine = [run for run in runs if run.heads == heads]
        pyplot.plot([run.layers for run in mine], [run.seconds for run in mine], "o-", label=f"{heads} head{'s' * (heads > 1)}")
        late = [run for run in mine if not run.in_time]
        pyplot.plot([run.layers for run in late], [run.seconds for run in late], "rx")
    pyplot.xscale("log")
    pyplot.yscale("log")
    pyplot.gca().xaxis.set_major_locator(FixedLocator(sorted({run.layers for run in runs})))
    for axis in (pyplot.gca().xaxis, pyplot.gca().yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter() if axis is pyplot.gca().xaxis else ScalarFormatter())
    pyplot.xlabel("layers")
    pyplot.ylabel("seconds of the process (red: out of time)")
    pyplot.legend()
    pyplot.savefig(file, dpi=120)
    print(f"plot in {file}")


if __name__ == "__main__":
    main()
