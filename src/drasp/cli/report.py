"""`drasp report`."""

import argparse
from pathlib import Path

from drasp.cli.arguments import add_program
from drasp.cli.say import tell

TEXT = "one HTML page: the program, run on what you type, and its evidence"


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
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
    write_made(out, report(program, evidence, path.resolve().stem, recorded_scene(program, evidence)))
    tell(f"written to {out}")
    return 0
