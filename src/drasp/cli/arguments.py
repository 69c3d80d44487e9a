"""What the arguments of the commands are: their types, and what a model and a task are found by."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from drasp.core.budget import LONGEST
from drasp.core.intervals import USUAL_LENGTHS, lengths_of
from drasp.errors import DraspError

if TYPE_CHECKING:
    from drasp.model.transformer import Transformer
    from drasp.tasks.protocol import Task

TASK_HELP = "a task's name, or FILE.py:NAME for your own; a bundled model knows its task"


def add_program(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")


def add_lengths(parser: argparse.ArgumentParser, default: tuple[int, int] = USUAL_LENGTHS) -> None:
    usual = "-".join(map(str, default))
    parser.add_argument("--lengths", type=lengths, default=default, help=f"of the sequences, both ends included (default: {usual})")


def natural(text: str) -> int:
    if _whole(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to below 2**63")
    return int(text)


def seed(text: str) -> int:
    found = _whole(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed, or too large a seed: it must be a whole number below 2**63")
    return found


def positive(text: str) -> int:
    found = _whole(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to below 2**63")
    return found


def _whole(text: str) -> int | None:
    """A whole number from 0 on that fits into 64 bits; None where it is none."""
    return int(text) if text.isdecimal() and len(text) <= 19 and int(text) < 1 << 63 else None


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1, like 0.99")
    return value


def whole_or_part(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1, like 0.9")
    return value


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no learning rate like 0.001")
    return value


def dropout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to below 1, like 0.1")
    return value


def steps(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    found = 0.0 if match is None else float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    if not 0 < found <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 90s, 10m or 1h, of {LONGEST:.0e} seconds at the most")
    return found


def lengths(text: str) -> tuple[int, int]:
    found = lengths_of(text)
    if found is None or found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of lengths like 0-150")
    return found


def device(name: str) -> str:
    from drasp.model.modes import device_named

    if name not in ("auto", "cpu", "cuda"):
        raise DraspError(f"--device {name}: expected auto, cpu or cuda")
    try:
        device_named(name)
    except RuntimeError:
        raise DraspError(f"--device {name}: no GPU is available here; use cpu or auto") from None
    return name


def model_and_task(model: str, task: str | None, span: tuple[int, int]) -> "tuple[Transformer, Task, str, str]":
    """Both as they fit each other, the model's name, and what `load_task` found the task by.

    What does not fit is said before anything is claimed or searched.
    """
    from drasp.model.bundled import resolve_model
    from drasp.model.given import both_fitted
    from drasp.tasks.user import is_python

    folder, known = resolve_model(model)
    wanted = known if task is None else task
    if wanted is None:
        raise DraspError(f"{folder} has no task.json: say with --task what the model was trained on; `drasp tasks` lists the names")
    if task is None and is_python(wanted):
        raise DraspError(f"{folder} was trained on a task in a Python file, which is run only where you ask for it: add --task {wanted}")
    transformer, found = both_fitted(folder, wanted, span, str(folder))
    return transformer, found, folder.resolve().name, wanted
