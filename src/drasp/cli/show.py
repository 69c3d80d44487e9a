"""`drasp show`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drasp.cli.arguments import add_program, positive
from drasp.cli.say import tell
from drasp.errors import DraspError

if TYPE_CHECKING:
    from drasp.evidence.schema import FrontierEntry

TEXT = "a program, what it does, and what its evidence says"
BAR = 20  # characters


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    pick = parser.add_mutually_exclusive_group()
    pick.add_argument("--frontier", action="store_true", help="of a run folder: what else the search met, size against match")
    pick.add_argument("--evidence", action="store_true", help="all that was measured, and the algorithm in full, instead of the listing")
    pick.add_argument("--all", action="store_true", help="the whole listing, however long it is")
    pick.add_argument("--statements", type=positive, help="of a run folder: the program that matches best with at most so many statements")


def command(arguments: argparse.Namespace) -> int:
    from drasp.lang.folder import load_program
    from drasp.search.record import load_evidence, load_frontier
    from drasp.view.terminal import all_evidence, terminal
    from drasp.view.words import recorded_scene

    if arguments.frontier:
        tell(_frontier(load_frontier(arguments.program)))
        return 0
    if arguments.statements is not None:
        arguments.program = _picked(arguments.program, arguments.statements)
    program, evidence = load_program(arguments.program), load_evidence(arguments.program)
    scene = recorded_scene(program, evidence)
    tell(all_evidence(program, evidence, scene) if arguments.evidence else terminal(program, evidence, scene, arguments.all))
    return 0


def _picked(run: Path, statements: int) -> Path:
    """The program of a run's frontier that matches best with at most so many statements; of equals the smaller."""
    from drasp.search.record import load_frontier

    entries = load_frontier(run)
    small = [entry for entry in entries if entry.statements <= statements]
    if not small:
        raise DraspError(f"--statements {statements}: the smallest program of {run} has {min(e.statements for e in entries)}")
    return run / max(small, key=lambda entry: (entry.match, -entry.statements)).file


def _frontier(entries: "Sequence[FrontierEntry]") -> str:
    """A table, each match drawn as a bar from 0 to 1."""
    lines = ["statements  opaque  numbers   match                        measured on  file"]
    for e in entries:
        bar = "#" * int(BAR * e.match)
        lines.append(f"{e.statements:>10}  {e.opaque:>6}  {e.numbers:>7}  {e.match:.4f}  {bar:<{BAR}}  {e.measured_on:<11}  {e.file}")
    return "\n".join(lines)
