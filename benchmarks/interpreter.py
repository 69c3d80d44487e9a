"""The interpreter on symbolic programs against the models they came from: the same batch, one thread, NumPy against PyTorch.

    python benchmarks/interpreter.py
    python benchmarks/interpreter.py --models ../shared/models --programs FOLDER --batch 64 --repeats 15

Each program `NAME.drasp` runs against the bundled model of that name or, with `--models`, the folder named `NAME`. The runs are
interleaved; of each the median is given, in milliseconds. The model is run as drasp does and, where transformers is installed, as
`GPT2LMHeadModel`, in single precision; the program in double precision, as always, and in single. The ratio is that of the faster model to
the program in double precision. Match is the share of the sequences on which program and model predict the same.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before NumPy is loaded

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from drasp.cli.arguments import lengths
from drasp.ir.program import Program
from drasp.lang.folder import load_program
from drasp.learn.evaluation import predictions, task_bands
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.run.numpy_fast import logits
from drasp.tasks.registry import get_task

PROGRAMS = Path(__file__).parent / "programs"
HEADER = (
    "| program | statements | lengths | tokens | program, double | program, single | drasp's model | transformers | ratio | match |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=PROGRAMS, help="a folder of NAME.drasp")
    parser.add_argument("--models", type=Path, help="a folder of model folders")
    parser.add_argument("--batch", type=int, default=64, help="sequences")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--lengths", type=lengths, default=(0, 150), help="cut to the length bands")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(HEADER, flush=True)
    for file in sorted(arguments.programs.glob("*.drasp")):
        folder, task = resolve_model(file.stem if arguments.models is None else str(arguments.models / file.stem))
        for row in _rows(load_program(file), file.stem, folder, get_task(task or file.stem), arguments):
            print(row, flush=True)


def _rows(program: Program, name: str, folder: Path, task, arguments):
    model, hugging_face = TorchTransformer(load_transformer(folder)), _hugging_face(folder)
    for low, high in task_bands(task, arguments.lengths):
        sample = task.sample(np.random.default_rng(0), arguments.batch, (low, high))
        ways = _ways(program, model, hugging_face, sample.token_ids, sample.position_ids)
        found = {way: run() for way, run in ways.items()}  # also warms up
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.repeats):
            for way, run in ways.items():
                began = time.perf_counter()
                run()
                times[way].append(1000 * (time.perf_counter() - began))
        median = {way: statistics.median(ms) for way, ms in times.items()}
        ratio = min(ms for way, ms in median.items() if way in ("drasp", "transformers")) / median["double"]
        same = predictions(found["double"], task.predict) == predictions(found["drasp"], task.predict)
        same = (same.all(-1) if same.ndim == 3 else same) | ~sample.scored
        cells = [f"{median[way]:.1f}" if way in median else "" for way in ("double", "single", "drasp", "transformers")]
        yield (
            f"| {name} | {len(program.statements)} | {low}-{high} | {' x '.join(map(str, sample.scored.shape))} | {' | '.join(cells)} "
            f"| {ratio:.2f} | {same.all(1).mean():.3f} |"
        )


def _ways(program: Program, model: TorchTransformer, hugging_face, tokens: np.ndarray, positions: np.ndarray) -> dict[str, Callable]:
    ways = {
        "double": lambda: logits(program, tokens, positions),
        "single": lambda: logits(program, tokens, positions, dtype=np.float32),
        "drasp": lambda: model(tokens, positions).numpy(),
    }
    if hugging_face is not None:
        ways["transformers"] = lambda: hugging_face(torch.from_numpy(tokens), torch.from_numpy(positions))
    return ways


def _hugging_face(folder: Path) -> Callable[[torch.Tensor, torch.Tensor], np.ndarray] | None:
    """The model as transformers runs it; None where that is not installed."""
    try:
        from transformers import GPT2LMHeadModel
    except ImportError:
        return None
    model = GPT2LMHeadModel.from_pretrained(folder).eval()

    @torch.no_grad()
    def run(tokens: torch.Tensor, positions: torch.Tensor) -> np.ndarray:
        return model(tokens, position_ids=positions, use_cache=False).logits.numpy()

    return run


if __name__ == "__main__":
    main()
