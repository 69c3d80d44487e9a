"""Command lines of which words were changed: exit code 0, 1 or 2, and never a traceback."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drasp.errors import DraspError
from drasp.lang.folder import save_program
from mutate import some_words
from oracle import run_command
from surface import corpus, folder_of, fuzzed
from test_fuzz_runs import PROGRAM

COMMANDS = [
    ["run", "own", "0 1 0", "--offset", "3", "--trace"],
    ["run", "own/program.drasp", "0"],
    ["show", "own", "--all"],
    ["show", "own", "--statements", "3"],
    ["check", "own", "--model", "tomita4", "--lengths", "0-10", "--seed", "2"],
    ["diff", "own", "own", "--task", "tomita4"],
    ["export", "own", "--to", "latex", "--out", "x.tex", "--force"],
    ["report", "own", "--out", "x.html", "--force"],
    ["decompile", "D2", "--task", "D2", "--out", "run", "--lengths", "0-9", "--match", "0.9", "--time", "9s", "--device", "cpu"],
    ["decompile", "model", "--statements", "9", "--numbers", "9", "--least", "1", "--seed", "1"],
    ["train", "D2", "--out", "new", "--layers", "1", "--width", "8", "--heads", "2", "--norm", "rms", "--checkpoints", "1,2"],
    ["convert", "x.pt", "--config", "config.json", "--out", "new"],
    ["tasks"],
]
OTHERS = (
    *("own", "own/program.drasp", "nowhere", ".", "own/x.jsonl", "own/x.jsonl:Task", "x.py:Task", "x.pt", "0-1", "5-2", "0-150", "1h"),
    *("--", "-", "--help", "--version", "--force", "--trace", "--frontier", "--evidence", "--seed", "--lengths", "--time", "--work"),
    *("quick", "python", "D2", "--out", "<bos>", "\udcff", "\x1b[31m", "x" * 5_000, "a/../b", "--task", "--match", "--sequences"),
)
FEW = {"check": ["--sequences", "30"], "tasks": []}
"""At the end of a command, so that it takes no longer than a moment."""


def run_words(words: list[str], folder: Path) -> None:
    save_program(PROGRAM, folder / "own")
    (folder / "own" / "x.jsonl").write_text("{}", encoding="utf-8")
    (folder / "x.pt").write_bytes(b"\x80\x04.")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    run_command(words, folder)


@pytest.fixture(autouse=True)
def _no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a search nor a training is what is tried here."""

    def stopped(*_: object, **__: object) -> None:
        raise DraspError("it would begin now")

    monkeypatch.setattr("drasp.search.decompile.decompile", stopped)
    monkeypatch.setattr("drasp.train.train", stopped)
    monkeypatch.setattr("drasp.model.convert.convert", stopped)


@corpus("words")
def test_commands_that_were_found(found: Path) -> None:
    with folder_of({}) as folder:
        run_words(json.loads(found.read_text(encoding="utf-8")), folder)


@fuzzed(50)
@given(st.data())
def test_any_command(data: st.DataObject) -> None:
    words = some_words(data.draw, data.draw(st.sampled_from(COMMANDS)), OTHERS)
    with folder_of({}) as folder:
        run_words([*words, *FEW.get(words[0] if words else "", [])], folder)
