"""Run folders, damaged: what reads them says so in a line or shows what is there, and a run that goes on starts again where it can."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.evidence.schema import PENDING, FrontierEntry, Gap
from drasp.lang.folder import load_program, save_program
from drasp.lang.parser import parse
from drasp.search.frontier import Point, listing
from drasp.search.record import load_evidence, load_frontier, prepare, save
from mutate import as_json, some_bytes, some_file, some_json, some_text
from oracle import accepted, run_command
from sample_evidence import EXAMPLE, LANGUAGE, sample_evidence
from surface import corpus, files_in, folder_of, fuzzed

PROGRAM = parse((Path(__file__).parents[2] / "examples" / "tomita4.drasp").read_text(encoding="utf-8"))
SETTINGS = {"task": "tomita4", "seed": 0}
QUESTIONS = (("match", 0.5), ("values", np.arange(3.0)), ("none", None), ("both", [1, {"a": np.zeros((2, 2), bool)}]))


def valid_run() -> dict[str, bytes]:
    """The files of an unfinished run, its journal too."""
    with folder_of({}) as folder:
        frontier = (Point(PROGRAM, 0.9, "evidence"),)
        evidence = sample_evidence(PROGRAM, language=LANGUAGE, examples=(EXAMPLE,), gaps=(Gap("off_task", PENDING),), off_task=None)
        entries: tuple[FrontierEntry, ...] = listing(frontier)
        ask_all(prepare(folder, SETTINGS, force=False))
        save(folder, frontier, sample_evidence(PROGRAM, **{**vars(evidence), "frontier": entries}))
        return files_in(folder)


def ask_all(journal: Journal) -> list[Any]:
    """The answers, asked anew where the journal does not have them."""
    budget = Budget.of(60.0, None)
    return [journal.once(question, "x", lambda answer=answer: answer, budget) for question, answer in QUESTIONS]


VALID = valid_run()
KEYS = ("evidence.json", "frontier.json", "run.json")


READERS = (
    *(["show", "."], ["show", ".", "--evidence"], ["show", ".", "--frontier"], ["report", ".", "--force"]),
    *(["run", ".", "0 1 0"], ["run", ".", "0 1 0", "--trace"], ["diff", ".", "."]),
    *(["export", ".", "--to", to, "--force"] for to in ("python", "latex", "markdown")),
)


def check_run(folder: Path, commands: Sequence[list[str]] = READERS) -> None:
    for read in (load_evidence, load_frontier, load_program):
        accepted(lambda read=read: read(folder), folder)  # type: ignore[misc]
    for words in commands:
        run_command(words, folder)
    check_going_on(folder)


def check_going_on(folder: Path) -> None:
    journal = accepted(lambda: prepare(folder, SETTINGS, force=False), folder)
    for again in (journal, accepted(lambda: prepare(folder, SETTINGS, force=True), folder)):
        if again is not None:
            assert len(accepted(lambda again=again: ask_all(again), folder) or QUESTIONS) == len(QUESTIONS)


@corpus("run")
def test_runs_that_were_found(found: Path) -> None:
    files = VALID | files_in(found)
    if "evidence.json" not in files_in(found) and "program.drasp" in files_in(found):
        del files["evidence.json"]  # which is another program's
    with folder_of(files) as folder:
        check_run(folder)


@fuzzed(25)
@given(st.data())
def test_any_run_folder(data: st.DataObject) -> None:
    files = dict(VALID)
    damage = data.draw(st.sampled_from(("values", "values", "values", "text", "program", "missing")))
    name = data.draw(st.sampled_from(("evidence.json", "evidence.json", *KEYS)))
    if damage == "values":
        files[name] = as_json(some_json(data.draw, json.loads(VALID[name]))).encode()
    elif damage == "text":
        files[name] = some_file(data.draw, VALID[name].decode())
    elif damage == "program":
        files["program.drasp"] = some_text(data.draw, VALID["program.drasp"].decode()).encode("utf-8", "surrogatepass")
        del files["evidence.json"]
    else:
        del files[data.draw(st.sampled_from(sorted(files)))]
    with folder_of(files) as folder:
        check_run(folder, [data.draw(st.sampled_from(READERS))])


@fuzzed(40)
@given(st.data())
def test_any_journal(data: st.DataObject) -> None:
    """Also one whose checksums are right, as only somebody who means it can write."""
    valid = VALID[".journal"]
    journal = some_bytes(data.draw, valid) if data.draw(st.booleans()) else _forged(data, valid)
    with folder_of(VALID | {".journal": journal}) as folder:
        check_going_on(folder)


def _forged(data: st.DataObject, valid: bytes) -> bytes:
    first, *lines = valid.splitlines(keepends=True)
    one = data.draw(st.integers(0, len(lines) - 1))
    if data.draw(st.booleans()):
        text = as_json(some_json(data.draw, json.loads(lines[one][9:]))).replace("\n", "").encode()
    else:
        text = some_file(data.draw, lines[one][9:-1].decode()).replace(b"\n", b"")
    lines[one] = b"%08x %b\n" % (crc32(text), text)
    return b"".join([first, *lines])


def test_a_run_that_nobody_damaged_is_shown_and_goes_on() -> None:
    with folder_of(VALID) as folder:
        assert run_command(["show", ".", "--evidence"], folder) == 0
        journal = prepare(folder, SETTINGS, force=False)
        assert journal.used >= 0
        assert len(ask_all(journal)) == len(QUESTIONS)
        save_program(load_program(folder), folder)
