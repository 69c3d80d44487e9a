"""Task files and tasks in Python, damaged: refused in a line, or they draw sequences."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drasp.tasks.protocol import Task
from drasp.tasks.user import as_task, checked_answers, checked_sample, load_task
from mutate import VALUES, as_json, some_bytes, some_file, some_json
from oracle import accepted
from surface import corpus, folder_of, fuzzed

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = [
    [json.loads(line) for line in (EXAMPLES / "marked.jsonl").read_text(encoding="utf-8").splitlines()[:12]],
    [
        {"version": 2, "vocabulary": ["a", "b", 7], "predict": "next-token-set", "outputs": ["y", "n"], "order": [7, "a"], "pad": "b"},
        {"tokens": ["a", 7], "scored": [0, 1], "sets": [["y", "n"], []]},
        {"tokens": [7], "scored": [0], "sets": [["n"]]},
    ],
    [
        {"version": 2, "vocabulary": ["a", "b"], "predict": "next-token", "scored": "last", "offset": 3, "positions": 9},
        {"tokens": ["a", "b"], "answers": ["b"]},
        {"tokens": ["b", "b", "a"]},
    ],
]
Once = load_task(f"{EXAMPLES / 'once.py'}:Once")


def check_task(given: Task | str, folder: Path | None = None) -> None:
    task = accepted(lambda: as_task(given), folder)
    if task is None:
        return
    for lengths in ((0, 6), (3, 3)):
        rng = np.random.default_rng(0)
        sample = accepted(lambda rng=rng, lengths=lengths: checked_sample(task, rng, 3, lengths), folder)
        if sample is not None:
            accepted(lambda sample=sample: checked_answers(task, sample), folder)


def check_file(file: Path) -> None:
    check_task(f"{file}:Task" if file.suffix == ".py" else str(file), file.parent)


@corpus("task")
def test_tasks_that_were_found(found: Path) -> None:
    check_file(found)


@fuzzed(40)
@given(st.data())
def test_any_file_of_sequences(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(FILES))
    if data.draw(st.booleans()):
        changed = some_json(data.draw, lines)
        written = "\n".join(map(_line, changed)).encode("utf-8", "surrogatepass")
    else:
        written = some_file(data.draw, "\n".join(map(_line, lines)))
    if data.draw(st.integers(0, 9)) == 0:
        written = some_bytes(data.draw, written)
    with folder_of({"own.jsonl": written}) as folder:
        check_file(folder / "own.jsonl")


def _line(value: object) -> str:
    return as_json(value).replace("\n", "")


MEMBERS = ("name", "vocabulary", "predict", "positions", "order", "outputs", "padding", "sample", "right")
ARRAYS: tuple[Any, ...] = (
    *VALUES,
    np.zeros((3, 8), int),
    np.zeros((3, 8), bool),
    np.full((3, 8), -1),
    np.full((3, 8), 2**62),
    np.full((3, 8), np.nan),
    np.full((3, 8), "a"),
    np.full((3, 8), None),
    np.zeros((3, 8), complex),
    np.zeros((3, 8, 6), bool),
    np.zeros((0, 0), int),
    np.zeros((3, 0), int),
    np.zeros((3, 8), np.uint64) + np.uint64(2**64 - 1),
    [[1, 2], [3]],
    range(3),
)


@fuzzed(40)
@given(st.data())
def test_any_task_in_python(data: st.DataObject) -> None:
    """A valid task of which members are missing or something else, or methods return something else, or raise."""
    own = type("Own", (), {name: getattr(type(Once), name) for name in ("name", "vocabulary", "predict", "positions")})
    own.sample = lambda self, rng, count, lengths: _returned(data, Once.sample(rng, count, lengths))
    own.answers = lambda self, token_ids: _returned(data, Once.answers(token_ids))
    name = data.draw(st.sampled_from(("none", *MEMBERS)))
    if name != "none":
        setattr(own, name, data.draw(st.sampled_from(ARRAYS)))
    if name in ("name", "vocabulary", "predict") and data.draw(st.booleans()):
        delattr(own, name)
    check_task(own())


def _returned(data: st.DataObject, valid: Any) -> Any:
    """What a method returns instead."""
    kind = data.draw(st.sampled_from(("valid", "part", "other", "raise", "fewer")))
    if kind == "raise":
        raise data.draw(st.sampled_from((ValueError("a\nb\x1b"), KeyError(), RuntimeError("x" * 900), SystemExit(3), RecursionError())))
    if kind == "other":
        return data.draw(st.sampled_from(ARRAYS))
    if kind == "fewer":
        return valid[:2]
    if kind == "part" and isinstance(valid, tuple):
        place = data.draw(st.integers(0, 2))
        return (*valid[:place], data.draw(st.sampled_from(ARRAYS)), *valid[place + 1 :])
    return valid
