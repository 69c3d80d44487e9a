"""`drasp diff`."""

import argparse
from pathlib import Path

from drasp.cli.arguments import TASK_HELP
from drasp.cli.say import tell

TEXT = "which lines of two programs are the same, and where they predict differently"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", type=Path, help="a run folder or a .drasp file")
    parser.add_argument("b", metavar="B", type=Path, help="another one")
    parser.add_argument("--task", help=TASK_HELP.replace("a bundled model", "a run of a task of the suite"))


def command(arguments: argparse.Namespace) -> int:
    from drasp.compare.diff import diff

    found = diff(arguments.a, arguments.b, arguments.task)
    tell(str(found))
    return int(not found.alike)
