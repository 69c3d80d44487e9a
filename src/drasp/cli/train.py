"""`drasp train`."""

import argparse
from dataclasses import replace
from pathlib import Path

from drasp.cli.arguments import add_lengths, device, dropout, positive, rate, seed, steps
from drasp.cli.libraries import importing
from drasp.cli.say import say, tell
from drasp.errors import DraspError

TEXT = "train a small Transformer on a task, a GPT-2 unless another part is asked for"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="a task's name, or FILE.py:NAME for your own")
    parser.add_argument("--out", type=Path, required=True, help="the model folder")
    parser.add_argument("--layers", type=positive, default=1, help="(default: 1)")
    parser.add_argument("--heads", type=positive, default=1, help="(default: 1)")
    parser.add_argument("--width", type=positive, default=16, help="(default: 16)")
    add_lengths(parser, (0, 50))
    parser.add_argument("--steps", type=positive, default=20_000, help="batches at the most (default: 20000)")
    parser.add_argument("--learning-rate", type=rate, default=1e-3, help="the highest, after the warm-up (default: 0.001)")
    parser.add_argument(
        "--weight-decay", type=dropout, default=0.01, help="of all matrices, each step times the learning rate (default: 0.01)"
    )
    parser.add_argument("--dropout", type=dropout, default=0.0, help="share of activations dropped in training (default: 0)")
    parser.add_argument("--norm", choices=["layer", "rms", "none"], default="layer", help="(default: layer)")
    parser.add_argument("--position", choices=["learned", "rotary", "none"], default="learned", help="(default: learned)")
    parser.add_argument("--activation", choices=["gelu", "gelu_exact", "relu", "silu"], default="gelu", help="(default: gelu)")
    parser.add_argument("--checkpoints", type=steps, default=(), help="also write the model after these steps, like 500,1000,2000")
    parser.add_argument("--seed", type=seed, default=0, help="of weights and sequences (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--force", action="store_true", help="replace a finished training")


def command(arguments: argparse.Namespace) -> int:
    from drasp.tasks.user import load_task

    task = load_task(arguments.task)
    with importing():
        from drasp.train import TrainSettings, train

    settings = replace(
        TrainSettings(),
        layers=arguments.layers,
        heads=arguments.heads,
        width=arguments.width,
        lengths=arguments.lengths,
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        dropout=arguments.dropout,
        weight_decay=arguments.weight_decay,
        norm=arguments.norm,
        position=arguments.position,
        activation=arguments.activation,
    )
    if settings.width % settings.heads:
        raise DraspError(f"--width {settings.width} is not divisible by --heads {settings.heads}")
    found = train(
        task,
        arguments.out,
        settings,
        device=device(arguments.device),
        force=arguments.force,
        checkpoints=arguments.checkpoints,
        source=arguments.task,
        report=say,
    )
    for share in found["accuracy"]:
        low, high = share["lengths"]
        tell(f"lengths {low}-{high}: {share['accuracy']:.4f} of {share['sequences']} sequences right")
    tell(f"written to {arguments.out}")
    return 0
