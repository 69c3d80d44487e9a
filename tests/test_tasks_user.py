"""A user's own tasks, from Python and from JSON Lines: what is accepted, and the one line that says what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from drasp.errors import TaskError
from drasp.search.decompile import decompile
from drasp.search.settings import Settings
from drasp.tasks.protocol import Sample, Task, parts
from drasp.tasks.registry import get_task
from drasp.tasks.user import as_task, checked_answers, checked_sample, different_sample, load_task
from small_models import LITTLE, random_transformer

GOOD = '''
import numpy as np

class Echo:
    """Next-token: the letter before <sep> once more."""

    name = "echo"
    vocabulary = ("a", "b", "<bos>", "<sep>", "<eos>", "<pad>")
    predict = "next-token"
    positions = 8

    def sample(self, rng, count, lengths):
        letters = rng.integers(0, 2, count)
        token_ids = np.stack([0 * letters + 2, letters, 0 * letters + 3, letters], axis=1)
        scored = np.tile(np.arange(4) == 2, (count, 1))
        return token_ids, np.arange(4) + rng.integers(0, 5, (count, 1)), scored

    def answers(self, token_ids):
        return np.repeat(token_ids[:, 1:2], token_ids.shape[1], axis=1)

echo = Echo()
'''


def _write(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def _check_error(spec: str, message: str) -> None:
    """Loading fails with one line that begins as `message` does, once the file's folder is left out."""
    with pytest.raises(TaskError) as raised:
        load_task(spec)
    said = str(raised.value).replace(str(Path(spec).parent) + "/", "")
    assert said.startswith(message)
    assert "\n" not in said
    assert len(said) < 1_500


def _draw(task: Task, count: int = 100, lengths: tuple[int, int] = (0, 150)) -> Sample:
    return checked_sample(task, np.random.default_rng(0), count, lengths)


def test_a_name_means_the_task_of_the_suite() -> None:
    assert load_task("D3") is get_task("D3")


@pytest.mark.parametrize("name", ["Echo", "echo"])
def test_a_class_or_an_object_of_a_python_file(tmp_path: Path, name: str) -> None:
    task = load_task(f"{_write(tmp_path, GOOD)}:{name}")
    sample = _draw(task)
    assert np.array_equal(checked_answers(task, sample)[sample.scored], sample.token_ids[:, 3])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_with_dataclasses_and_postponed_annotations(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + GOOD.replace("class Echo", "@dataclass\nclass Echo")
    assert load_task(f"{_write(tmp_path, text)}:Echo").name == "echo"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1\ndef broken(:\n", "t", "mine.py:2: invalid syntax"),
        ("x = 1\n\nx / 0\n", "t", "mine.py: ZeroDivisionError: division by zero (mine.py:3)"),
        ("import no_such_module\n", "t", "mine.py: ModuleNotFoundError: No module named 'no_such_module' (mine.py:1)"),
        ("raise SystemExit\n", "t", "mine.py: SystemExit (mine.py:1)"),
        (GOOD, "Ehco", "mine.py: there is no 'Ehco' in it; is it Echo or echo?"),
        ("", "t", "mine.py: there is no 't' in it"),
        ("t = 5", "t", "mine.py:t: it lacks name, vocabulary, predict, sample, answers"),
        (GOOD.replace("def answers", "def answer"), "Echo", "mine.py:Echo: it lacks answers"),
        (
            GOOD + "class Sized(Echo):\n    def __init__(self, size): ...\n",
            "Sized",
            "mine.py:Sized: Sized() failed: TypeError:",
        ),
        (GOOD + "Echo.sample = 3", "Echo", "mine.py:Echo: sample and answers must be functions"),
        (GOOD.replace('"echo"', '""'), "Echo", "mine.py:Echo: name must be a string that is not empty, not ''"),
        (GOOD.replace('"b"', '"a"'), "Echo", "mine.py:Echo: vocabulary has a twice"),
        (GOOD.replace('"b"', "2"), "Echo", "mine.py:Echo: vocabulary must be a tuple of strings"),
        (
            GOOD.replace('("a", "b"', '["a", "b"').replace('"<pad>")', '"<pad>"]'),
            "Echo",
            "mine.py:Echo: vocabulary must be a tuple of strings",
        ),
        (GOOD.replace('"b"', '"b c"'), "Echo", "mine.py:Echo: the token 'b c' of the vocabulary is empty or has a space"),
        (GOOD.replace('"a", "b", "<bos>", "<sep>", "<eos>", "<pad>"', ""), "Echo", "mine.py:Echo: vocabulary is empty"),
        (GOOD + "Echo.outputs = ('x', 'x')", "Echo", "mine.py:Echo: outputs has x twice"),
        (GOOD + "Echo.padding = '.'", "Echo", "mine.py:Echo: padding is '.', which is not in the vocabulary"),
        (GOOD.replace('"next-token"', '"next"'), "Echo", "mine.py:Echo: predict must be next-token or next-token-set, not 'next'"),
        (GOOD.replace("= 8", "= 0"), "Echo", "mine.py:Echo: positions must be a whole number from 1 to 1000000, not 0"),
        (GOOD + "Echo.order = ('b', 'c')", "Echo", "mine.py:Echo: order must be a tuple of different tokens of the vocabulary"),
    ],
)
def test_what_is_wrong_with_a_python_file_is_said_in_one_line(tmp_path: Path, text: str, name: str, message: str) -> None:
    _check_error(f"{_write(tmp_path, text)}:{name}", message)


def test_a_missing_file_or_name_is_said() -> None:
    _check_error("nowhere.py:task", "nowhere.py: no such file")
    _check_error("nowhere.jsonl", "nowhere.jsonl: no such file")
    _check_error("tasks.py", "tasks.py: say which object in the file is the task: tasks.py:NAME")
    _check_error("nothing", "there is no task 'nothing'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("return 5", "sample() must return three arrays: token ids, position ids, scored positions"),
        ("return ids, places", "sample() must return three arrays: token ids, position ids, scored positions"),
        (
            "return ids[:, :3], places, scored",
            "sample(10, 0-9) must return three arrays of shape (10, time), not (10, 3), (10, 4), (10, 4)",
        ),
        ("return ids[:9], places[:9], scored[:9]", "sample(10, 0-9) must return three arrays of shape (10, time), not (9, 4)"),
        ("return ids * 1.0, places, scored", "sample(10, 0-9) must return integers, integers and booleans, not float64, int64, bool"),
        ("return ids, places, scored * 1", "sample(10, 0-9) must return integers, integers and booleans, not int64, int64, int64"),
        ("return ids + 4, places, scored", "sample(10, 0-9) returns token ids outside 0-5"),
        ("return ids - 1, places, scored", "sample(10, 0-9) returns token ids outside 0-5"),
        ("return ids, places + 8, scored", "sample(10, 0-9) returns position ids outside 0-7"),
        ("return ids, places // 2, scored", "sample(10, 0-9) returns position ids that are not consecutive"),
        ("return ids, places, scored & False", "sample(10, 0-9) returns a sequence without a scored position"),
        ("ids[0, 2] = 5; return ids, places, scored", "sample(10, 0-9) returns tokens behind <pad>; padding must stand on the right"),
        ("ids[0, 2:] = 5; return ids, places, scored", "sample(10, 0-9) scores a position of <pad>"),
        ("return 1 / 0", "sample() failed: ZeroDivisionError: division by zero (mine.py:"),
        ("return np.zeros(3) @ np.zeros(4)", "sample() failed: ValueError: matmul"),
    ],
)
def test_a_bad_sample_is_refused(tmp_path: Path, change: str, message: str) -> None:
    method = (
        f"    def sample(self, rng, count, lengths):\n        ids, places, scored = super().sample(rng, count, lengths)\n        {change}"
    )
    task = load_task(_write(tmp_path, f"{GOOD}\nclass Bad(Echo):\n{method}\n") + ":Bad")
    with pytest.raises(TaskError) as raised:
        _draw(task, 10, (0, 9))
    said = str(raised.value).replace(f"{tmp_path}/", "")
    assert said.startswith(f"task echo: {message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("return token_ids[:, 0]", "answers() must return integers of shape (10, 4), not int64 (10,)"),
        ("return token_ids * 0.5", "answers() must return integers of shape (10, 4), not float64 (10, 4)"),
        ("return token_ids + 6", "answers() returns ids outside 0-5"),
        ("raise KeyError('x')", "answers() failed: KeyError: 'x' (mine.py:"),
    ],
)
def test_bad_answers_are_refused(tmp_path: Path, change: str, message: str) -> None:
    text = f"{GOOD}\nclass Bad(Echo):\n    def answers(self, token_ids):\n        {change}\n"
    task = load_task(f"{_write(tmp_path, text)}:Bad")
    sample = _draw(task, 10)
    with pytest.raises(TaskError) as raised:
        checked_answers(task, sample)
    assert str(raised.value).replace(f"{tmp_path}/", "").startswith(f"task echo: {message}")


SPECIAL = ["<bos>", "<sep>", "<eos>", "<pad>"]
COPY = {"vocabulary": ["a", "b", *SPECIAL], "predict": "next-token", "positions": 12, "order": ["b", "a"]}
PLAIN = {"version": 2, "vocabulary": [0, 1, 2], "predict": "next-token", "scored": "last"}
SETS = {"vocabulary": ["a", "b", *SPECIAL], "predict": "next-token-set", "positions": 12}


def _copy(part: str) -> dict[str, list[object]]:
    return {"tokens": ["<bos>", *part, "<sep>", *part, "<eos>"], "scored": list(range(len(part) + 1, 2 * len(part) + 2))}


def _jsonl(folder: Path, *lines: object) -> str:
    return _write(folder, "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n", "mine.jsonl")


def test_a_file_of_sequences(tmp_path: Path) -> None:
    task = load_task(_jsonl(tmp_path, COPY, _copy("a"), _copy("ab"), "", _copy("bba")))
    assert (task.name, task.vocabulary, task.predict) == ("mine", tuple(COPY["vocabulary"]), "next-token")
    assert (task.positions, task.order) == (12, ("b", "a"))
    sample = _draw(task, 3000, (2, 9))
    rows = {"".join(task.vocabulary[i][0] for i in row if i != 5) for row in sample.token_ids}
    assert rows == {"<ab<ab<", "<bba<bba<"}
    assert np.array_equal(checked_answers(task, sample)[sample.scored], np.roll(sample.token_ids, -1, 1)[sample.scored])
    sizes = (sample.token_ids != 5).sum(1)
    assert np.array_equal(sample.scored.sum(1), (sizes - 1) // 2)
    assert {(int(size), int(offset)) for size, offset in zip(sizes, sample.position_ids[:, 0], strict=True)} == {
        (size, offset) for size in (7, 9) for offset in range(12 - size + 1)
    }
    with pytest.raises(TaskError, match=r"^task mine: no sequence has a length in 4-9; they have 1-3$"):
        _draw(task, 1, (4, 9))


def test_a_file_of_sequences_without_special_tokens_and_with_outputs(tmp_path: Path) -> None:
    """Such a file may begin with a byte order mark."""
    lines = [{"tokens": [0, 1, 2], "answers": ["up"]}, {"tokens": [2, 0], "answers": ["down"], "scored": [0]}, {"tokens": [1, 1]}]
    task = load_task(_jsonl(tmp_path, "\ufeff" + json.dumps(PLAIN | {"outputs": ["up", "down"]}), *lines))
    assert (task.vocabulary, task.outputs, task.positions) == (("0", "1", "2"), ("up", "down"), 3)
    sample = _draw(task, 50)
    assert not sample.position_ids[:, 0].any()
    right = checked_answers(task, sample)
    for row, first in enumerate(sample.token_ids[:, 0]):
        assert sample.scored[row].tolist() == [[False, False, True], [False, True, False], [True, False, False]][first]
        assert right[row][sample.scored[row]].tolist() == [[0], [-1], [1]][first]


def test_a_file_that_has_every_input_is_judged_whole_and_of_another_a_part_is_kept(tmp_path: Path) -> None:
    lines = [{"tokens": [a, b], "answers": [(a + b) % 3]} for a in range(3) for b in range(3)]
    assert parts(load_task(_jsonl(tmp_path, PLAIN, *lines))).all_inputs
    search, judged, all_inputs = parts(load_task(_jsonl(tmp_path, PLAIN, *lines[:-1])))
    assert not all_inputs
    assert [len(different_sample(part, np.random.default_rng(0), 99, (0, 150)).token_ids) for part in (search, judged)] == [5, 3]


def test_a_file_of_sequences_with_sets(tmp_path: Path) -> None:
    one = {"tokens": ["<bos>", "a", "b", "<eos>"], "scored": [0, 2], "sets": [["a", "<eos>"], []]}
    other = {"tokens": ["<bos>", "<eos>"], "scored": [0], "sets": [["a", "<eos>"]]}
    task = load_task(_jsonl(tmp_path, SETS, one, other, one))
    sample = _draw(task, 50)
    answers = checked_answers(task, sample)
    assert answers[:, 0].nonzero()[1].tolist() == [0, 4] * 50
    assert not answers[:, 2].any()
    assert {int(n) for n in sample.scored.sum(1)} == {1, 2}
    with pytest.raises(TaskError, match=r"^task mine: the file does not have the sequence <bos> b$"):
        task.answers(np.array([[2, 1]]))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("",), "mine.jsonl: the file is empty"),
        ((COPY,), "mine.jsonl: there is a header, but no sequence"),
        ((_copy("a"),), "mine.jsonl:1: a header is an object with vocabulary, predict and perhaps positions, version, order, outputs, pad"),
        (({"vocabulary": ["a"]},), "mine.jsonl:1: a header is an object with vocabulary, predict and perhaps positions"),
        (([1],), "mine.jsonl:1: a header is an object with vocabulary, predict"),
        (({k: v for k, v in COPY.items() if k != "positions"},), "mine.jsonl:1: a header without a version must have positions"),
        ((PLAIN | {"version": 3},), "mine.jsonl:1: version is 3; this drasp reads 1 and 2"),
        ((PLAIN | {"pad": "c"},), "mine.jsonl:1: pad is 'c', which is not in the vocabulary"),
        ((PLAIN | {"offset": "any"},), "mine.jsonl:1: offset must be a whole number from 0 to 1000000 or \"random\", not 'any'"),
        ((PLAIN | {"scored": "first"},), 'mine.jsonl:1: scored must be "all", "last" or positions, not \'first\''),
        ((PLAIN | {"outputs": ["x", "x"]},), "mine.jsonl:1: outputs has x twice"),
        ((PLAIN, {"tokens": [0], "answers": []}), "mine.jsonl:2: 0 answers for 1 scored positions"),
        ((PLAIN, {"tokens": [0], "answers": [7]}), "mine.jsonl:2: the answer '7' is not in the vocabulary"),
        (
            (PLAIN, {"tokens": [0], "answers": [1]}, {"tokens": [0], "answers": [0]}),
            "mine.jsonl:3: an earlier line has the same tokens with",
        ),
        ((COPY | {"positions": "9"},), "mine.jsonl:1: positions must be a whole number, not '9'"),
        ((COPY | {"positions": 0},), "mine.jsonl:1: positions must be a whole number from 1 to 1000000, not 0"),
        ((COPY | {"vocabulary": ["a", None, *SPECIAL]},), "mine.jsonl:1: vocabulary must be a tuple of strings"),
        ((COPY | {"order": [["a"]]},), "mine.jsonl:1: order must be a tuple of different tokens of the vocabulary"),
        ((COPY, _copy("a"), "", '{"tokens": ['), "mine.jsonl:4: no JSON: Expecting value: line 1 column 13"),
        ((COPY, {"tokens": ["a"]}), "mine.jsonl:2: a sequence is an object with tokens, scored and perhaps answers: scored is missing"),
        ((PLAIN, {"tokens": [0], "token": 1}), "mine.jsonl:2: a sequence is an object with tokens and perhaps answers, scored: 'token' is"),
        ((PLAIN | {"vocab": []},), "mine.jsonl:1: a header is an object with vocabulary, predict and perhaps positions, version, order"),
        ((PLAIN, "[" * 2_000 + "]" * 2_000), "mine.jsonl:2: no JSON: maximum recursion depth exceeded"),
        ((PLAIN, '{"a": ' * 100_000), "mine.jsonl:2: no JSON: maximum recursion depth exceeded"),
        ((PLAIN, {"tokens": ["9" * 100_000]}), "mine.jsonl:2: the token '999"),
        ((PLAIN, '{"tokens": [' + "9" * 5_000 + "]}"), "mine.jsonl:2: no JSON: Exceeds the limit"),
        ((PLAIN, {"x" * 100_000: 1}), "mine.jsonl:2: a sequence is an object with tokens"),
        ((PLAIN | {"offset": 10**30},), "mine.jsonl:1: offset must be a whole number from 0 to 1000000"),
        ((COPY, _copy("a") | {"sets": []}), "mine.jsonl:2: a sequence is an object with tokens, scored"),
        ((COPY, {"tokens": "ab", "scored": [0]}), "mine.jsonl:2: tokens must be a list, not 'ab'"),
        ((COPY, _copy("ac")), "mine.jsonl:2: the token 'c' is not in the vocabulary"),
        ((COPY, {"tokens": ["a", ["b"]], "scored": [0]}), "mine.jsonl:2: the token ['b'] is not in the vocabulary"),
        ((COPY, {"tokens": ["a", "<pad>"], "scored": [0]}), "mine.jsonl:2: <pad> is put in by the sampler"),
        ((COPY, _copy("ababa")), "mine.jsonl:2: 13 tokens, but the header has only 12 positions"),
        ((COPY, {"tokens": ["a"], "scored": [0]}), "mine.jsonl:2: too few tokens (1): there is none to predict"),
        ((COPY, {"tokens": ["a", "b"], "scored": []}), "mine.jsonl:2: no position is scored"),
        ((COPY, {"tokens": ["a", "b"], "scored": [1]}), "mine.jsonl:2: a scored position must be a whole number from 0 to 0, not 1"),
        ((COPY, {"tokens": ["a", "b"], "scored": [True]}), "mine.jsonl:2: a scored position must be a whole number from 0 to 0, not True"),
        ((SETS, {"tokens": ["a"], "scored": [0], "sets": []}), "mine.jsonl:2: 0 sets for 1 scored positions"),
        ((SETS, {"tokens": ["a"], "scored": [0], "sets": ["a"]}), "mine.jsonl:2: each of the sets must be a list of tokens, not 'a'"),
        ((SETS, {"tokens": ["a"], "scored": [0], "sets": [["c"]]}), "mine.jsonl:2: the token 'c' is not in the vocabulary"),
        (
            (SETS, {"tokens": ["a"], "scored": [0], "sets": [["a"]]}, {"tokens": ["a"], "scored": [0], "sets": [["b"]]}),
            "mine.jsonl:3: an earlier line has the same tokens with other sets",
        ),
    ],
)
def test_what_is_wrong_with_a_file_of_sequences_is_said_in_one_line(tmp_path: Path, lines: tuple[object, ...], message: str) -> None:
    _check_error(_jsonl(tmp_path, *lines), message)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(b"\xff\xfe\x00")
    _check_error(str(tmp_path / "mine.jsonl"), "mine.jsonl: cannot be read: 'utf-8' codec")
    _check_error(str(tmp_path / "folder.jsonl"), "folder.jsonl: no such file")


@pytest.mark.parametrize("name", ["data.json", "data.ndjson"])
def test_a_file_of_another_ending_is_told_from_a_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(PLAIN))
    _check_error(str(tmp_path / name), f"{name}: a task's file is FILE.jsonl, one JSON object a line, or FILE.py:NAME")


class Shifted:
    """A task object without any special token: each token follows the one before it in the alphabet."""

    name, vocabulary, predict = "shifted", tuple("abcdef"), "next-token"

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> tuple[np.ndarray, ...]:
        ids = (rng.integers(0, 6, (count, 1)) + np.arange(5)) % 6
        return ids, np.tile(np.arange(5), (count, 1)), np.ones(ids.shape, dtype=bool)

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        return (token_ids + 1) % 6


def test_a_task_object_needs_no_special_tokens_and_is_checked_as_one_in_a_file_is() -> None:
    found = decompile(random_transformer(1, 1, 0), Shifted(), Settings(work=3_000, evidence="quick"), tuning=LITTLE)
    assert found.evidence.reason is None
    for changes, message in (({"vocabulary": ("a", "a")}, "vocabulary has a twice"), ({"predict": "it"}, "predict must be next-token")):
        with pytest.raises(TaskError, match=f"^the task: {message}"):
            as_task(type("Odd", (Shifted,), changes)())
