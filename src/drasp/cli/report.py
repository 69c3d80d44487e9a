"""`drasp report`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drasp.cli.arguments import TASK_HELP, add_program, model_and_task
from drasp.cli.say import tell
from drasp.core.intervals import USUAL_LENGTHS

if TYPE_CHECKING:
    from drasp.evidence.schema import Evidence

TEXT = "one HTML page: the program, run on what you type, and its evidence"


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument(
        "--with-model", metavar="MODEL", help="put the model that the program was found for into the page, to be run beside it"
    )
    parser.add_argument("--task", help=f"what that model was trained on: {TASK_HELP}")
    parser.add_argument("--out", type=Path, help="the page (default: report.html in the run folder, or FILE.html beside FILE.drasp)")
    parser.add_argument("--force", action="store_true", help="replace a page that is there")


def command(arguments: argparse.Namespace) -> int:
    from drasp.lang.folder import PROGRAM_FILE, load_program
    from drasp.search.record import REPORT_FILE, check_target, load_evidence, write_made
    from drasp.view.report.page import report
    from drasp.view.words import recorded_scene

    path: Path = arguments.program
    program, evidence = load_program(path), load_evidence(path)
    run = path if path.is_dir() else path.parent if path.name == PROGRAM_FILE else None
    out = arguments.out or (path.with_suffix(".html") if run is None else run / REPORT_FILE)
    check_target(out, path, arguments.force)
    model = None if arguments.with_model is None else model_and_task(arguments.with_model, arguments.task, _lengths(evidence))[0]
    write_made(out, report(program, evidence, path.resolve().stem, recorded_scene(program, evidence), model))
    tell(f"written to {out}")
    return 0


def _lengths(evidence: "Evidence | None") -> tuple[int, int]:
    """Of the task's sequences that the model is tried on."""
    found = None if evidence is None else evidence.settings.get("lengths")
    return (found[0], found[1]) if isinstance(found, list) and [type(n) for n in found] == [int, int] else USUAL_LENGTHS
