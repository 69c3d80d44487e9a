"""`drasp decompile`."""

import argparse
from contextlib import suppress
from pathlib import Path

from drasp.cli.arguments import TASK_HELP, add_lengths, device, model_and_task, positive, seconds, seed, share, whole_or_part
from drasp.cli.libraries import importing
from drasp.cli.say import INTERRUPTED, say, tell
from drasp.core.budget import Budget

TEXT = "turn a trained model into a program, with the evidence that it is the same"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a Hugging Face GPT-2 folder, or the name of a bundled model")
    parser.add_argument("--task", help=TASK_HELP)
    parser.add_argument("--out", type=Path, help="the run folder (default: runs/<model>-<seed>)")
    parser.add_argument(
        "--match", type=share, default=0.99, help="share of sequences predicted alike, in the worst length band (default: 0.99)"
    )
    parser.add_argument(
        "--least",
        type=whole_or_part,
        default=0.9,
        help="the search ends with a program in symbols that matches at least so much, over all lengths together (default: 0.9); "
        "1 makes it go on until one matches as --match asks, or time is up",
    )
    parser.add_argument("--statements", type=positive, default=30, help="the most statements that count as decompiled (default: 30)")
    parser.add_argument("--numbers", type=positive, default=60, help="the most free numbers that count as decompiled (default: 60)")
    add_lengths(parser)
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--time", type=seconds, default=600.0, help="90s, 10m or 1h, evidence included (default: 10m)")
    parser.add_argument(
        "--work", type=positive, help="instead of a time, how many statements may be run on batches: the same result on every machine"
    )
    parser.add_argument(
        "--evidence",
        choices=("full", "quick", "verdict"),
        default="full",
        help="quick leaves out what is slow: off the task, language; verdict all but what the verdict hangs on",
    )
    parser.add_argument("--force", action="store_true", help="replace a finished run")


def command(arguments: argparse.Namespace) -> int:
    """The program is written as soon as it is found, and again its evidence with each kind of it."""
    budget = Budget.of(arguments.time, arguments.work)  # before torch is imported: that takes time too
    from drasp.search import record

    transformer, task, name, source = model_and_task(arguments.model, arguments.task, arguments.lengths)
    with importing():
        from drasp.cli.display import Display, describe
        from drasp.search.decompile import Session, decompile
        from drasp.search.saved import keeping, question
        from drasp.search.settings import Settings
        from drasp.view.terminal import terminal
        from drasp.view.words import scene_of

    flags = ("match", "least", "statements", "numbers", "lengths", "seed", "time", "work", "evidence")
    settings = Settings(**{flag: getattr(arguments, flag) for flag in flags}, device=device(arguments.device))
    out = arguments.out or Path("runs") / f"{name}-{settings.seed}"
    journal = record.prepare(out, question(transformer, task, source, settings), arguments.force)
    if journal.used:
        spent = f"{journal.used:.0f} s of its time" if settings.work is None else f"{journal.used:.0f} of its work"
        say(f"going on with the unfinished run in {out}, {spent} used")
    with Display(describe) as display:
        found = decompile(transformer, task, settings, Session(budget, journal, display, keeping(out), display.say))
    if journal.failed:
        say(f"{journal.failed}; a run that goes on would have started again from there")
    with suppress(BrokenPipeError):  # whoever does not read it is still told by the exit code
        tell(terminal(found.program, found.evidence, scene_of(found.program, found.task, settings.lengths)))
        tell(f"written to {out}")
    if found.evidence.interrupted:
        return INTERRUPTED
    return 1 if found.evidence.verdict == "not decompiled" else 0
