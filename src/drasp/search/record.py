"""The run folder: what a decompilation leaves, and what it must not overwrite."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from drasp.core.journal import Journal
from drasp.core.records import Damaged, Json, from_json, to_json
from drasp.errors import DraspError, RunFolderError
from drasp.evidence.schema import Evidence, FrontierEntry
from drasp.lang.folder import OPERATORS_FILE, PROGRAM_FILE, save_program
from drasp.search.frontier import Point

EVIDENCE_FILE = "evidence.json"
REPORT_FILE = "report.html"
SETTINGS_FILE = "run.json"
"""What an unfinished run was asked for; it goes when the run is finished."""
NEW_FOLDER = ".new"
"""Where program and evidence are written before they take the place of what was there."""
JOURNAL_FILE = ".journal"
"""What an unfinished run has learned so far; it goes when the run is finished."""
EXPORT_ENDINGS = {"python": ".py", "latex": ".tex", "latex-figure": ".figure.tex", "markdown": ".md"}
"""Of what `drasp export` writes beside a program; like the report it goes when another program takes its place."""
FRONTIER_FILE, FRONTIER_FOLDER = "frontier.json", "frontier"


def prepare(out: Path, settings: Mapping[str, object], force: bool) -> Journal:
    """Claims a run folder before the search starts; nothing that is there is changed but for the settings file and the journal.

    A run that was killed or interrupted with the same settings goes on from what its journal holds.

    Raises:
        RunFolderError: the folder holds a finished run, one with other settings, or something else, or cannot be written.
    """
    wanted = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    try:
        held = held_by(out, {EVIDENCE_FILE, SETTINGS_FILE}, "is not empty and holds no run of drasp; choose another --out")
        if EVIDENCE_FILE in held and not force and not _unfinished(out):
            raise RunFolderError(f"{out} holds a finished run; choose another --out, or --force to replace it")
        if SETTINGS_FILE in held and (out / SETTINGS_FILE).read_text(encoding="utf-8") != wanted and not force:
            raise RunFolderError(f"{out} holds an unfinished run with other settings; choose another --out, or --force to replace it")
        out.mkdir(parents=True, exist_ok=True)
        replace_text(out / SETTINGS_FILE, wanted)
        return Journal(out / JOURNAL_FILE, wanted)
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{out} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def held_by(out: Path, own: Set[str], foreign: str) -> set[str]:
    """The names of what is in a folder, if it is there. Raises RunFolderError where it is a file, or full with none of `own`: that is told
    as `foreign`.
    """
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file; give a folder")
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if held and not held & own:
        raise RunFolderError(f"{out} {foreign}")
    return held


def _unfinished(out: Path) -> bool:
    try:
        evidence = load_evidence(out)
    except RunFolderError as damaged:
        raise RunFolderError(f"{damaged}; choose another --out, or --force to replace it") from None
    return evidence is not None and evidence.unfinished


def check_free(out: Path, force: bool) -> None:
    """Raises RunFolderError where something is in a folder; with `force`, where that is no run."""
    try:
        held = held_by(out, {EVIDENCE_FILE}, "is not empty and holds no run of drasp; give another folder")
    except OSError as error:
        raise RunFolderError(f"{out} cannot be read: {error.strerror}") from None
    if held and not force:
        raise RunFolderError(f"{out} holds a run; give another folder, or force=True to replace it")


def save(out: Path, frontier: Iterable[Point], evidence: Evidence) -> None:
    """Writes the program, what else is on its frontier, and the evidence beside what is there, and then in its place: no evidence ever
    stands by another program.
    """
    new = out / NEW_FOLDER
    try:
        if new.exists():
            shutil.rmtree(new)
        for point in frontier:
            save_program(point.program, new / point.folder)
        _write_evidence(new, evidence)
        exports = [Path(PROGRAM_FILE).with_suffix(ending).name for ending in EXPORT_ENDINGS.values()]
        for name in (EVIDENCE_FILE, OPERATORS_FILE, REPORT_FILE, *exports):
            (out / name).unlink(missing_ok=True)
        if (out / FRONTIER_FOLDER).exists():
            shutil.rmtree(out / FRONTIER_FOLDER)
        for name in (FRONTIER_FOLDER, FRONTIER_FILE, OPERATORS_FILE, PROGRAM_FILE, EVIDENCE_FILE):
            if (new / name).exists():
                os.replace(new / name, out / name)
        shutil.rmtree(new)
    except OSError as error:
        raise RunFolderError(f"{out} cannot be written: {error.strerror}") from None


def update(out: Path, evidence: Evidence) -> None:
    """More evidence for the program that `save` wrote. Once there is no more to come, the run is finished and cannot go on."""
    try:
        _write_evidence(out, evidence)
        if not evidence.unfinished:
            (out / JOURNAL_FILE).unlink(missing_ok=True)
            (out / SETTINGS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{out} cannot be written: {error.strerror}") from None


def _write_evidence(folder: Path, evidence: Evidence) -> None:
    replace_text(folder / FRONTIER_FILE, json.dumps([to_json(entry) for entry in evidence.frontier], indent=1) + "\n")
    replace_text(folder / EVIDENCE_FILE, json.dumps(evidence.to_json(), indent=1) + "\n")


def load_evidence(path: Path) -> Evidence | None:
    """The evidence of a run folder, or beside a `.drasp` file of a run; None where there is none.

    Raises:
        RunFolderError: it is damaged; one line that names the place.
    """
    if path.is_file() and path.name != PROGRAM_FILE:
        return None
    folder = path if path.is_dir() else path.parent
    data = _load_json(folder / EVIDENCE_FILE)
    try:
        return None if data is None else Evidence.from_json(data)
    except DraspError as damaged:
        raise RunFolderError(f"{folder}: {damaged}") from None


def load_frontier(run: Path) -> list[FrontierEntry]:
    """The frontier of a run folder, from small to large.

    Raises:
        RunFolderError: there is none, or it is damaged.
    """
    file = run / FRONTIER_FILE
    data = _load_json(file)
    if data is None:
        raise RunFolderError(f"{run} holds no {FRONTIER_FILE}; it must be the folder of a finished run")
    try:
        found: tuple[FrontierEntry, ...] = from_json(tuple[FrontierEntry, ...], data)
    except Damaged as damaged:
        raise RunFolderError(f"{file} is damaged: {damaged}") from None
    if not found or not all(_sound(entry) for entry in found):
        raise RunFolderError(f"{file} is damaged: an entry is missing or has a value that cannot be")
    return list(found)


def _sound(entry: FrontierEntry) -> bool:
    inside = not Path(entry.file).is_absolute() and ".." not in Path(entry.file).parts
    return min(entry.statements, entry.opaque, entry.numbers) >= 0 and inside and 0 <= entry.match <= 1


def _load_json(file: Path) -> Json:
    """What a file of JSON holds; None where there is no such file."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{file} is damaged: {' '.join(str(error).split())}") from None


def check_target(target: Path, program: Path, force: bool) -> None:
    """Whether something made from a program, a run folder or a `.drasp` file, may be written to a file.

    Raises:
        RunFolderError: it is no file, is there already without `force`, or is what it is made from.
    """
    run = program if program.is_dir() else program.parent
    sources = [run / name for name in (PROGRAM_FILE, OPERATORS_FILE, EVIDENCE_FILE, FRONTIER_FILE)]
    if target.exists() and not target.is_file():
        raise RunFolderError(f"{target} is no file; --out names the file to write")
    if target.resolve() in [source.resolve() for source in (*sources, program)]:
        raise RunFolderError(f"{target} belongs to the program itself; choose another --out")
    if target.exists() and not force:
        raise RunFolderError(f"{target} is there already; choose another --out, or --force to replace it")


def write_made(target: Path, text: str) -> None:
    """Writes what was made from a program, its folder too if need be.

    Raises:
        RunFolderError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_text(target, text)
    except OSError as error:
        raise RunFolderError(f"{target} cannot be written: {error.strerror}") from None


def replace_text(file: Path, text: str) -> None:
    """Writes a text file, at once or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
