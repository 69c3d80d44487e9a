"""The journal: what was answered once is not asked again, and a run that goes on is stopped where it was stopped before."""

import errno
import time
from zlib import crc32

import numpy as np
import pytest

from drasp.core import journal as journals
from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.journal import Journal, code_of, digest
from drasp.errors import RunFolderError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal"


def once(journal, question, answer, about="it"):
    """The answer to one question, for which there is time without end."""
    return journal.once(question, about, lambda: answer, Budget.of_seconds())


@pytest.mark.parametrize("start", [b"", b"no journal\n", b"\xff" * 100])
def test_a_journal_that_is_none_counts_for_nothing(file, start):
    file.write_bytes(start)
    journal = Journal(file, "run")
    assert journal.used == 0
    assert once(journal, "what", 1) == 1
    assert once(Journal(file, "run"), "what", 2) == 1


def test_without_a_file_everything_is_asked():
    journal = Journal()
    assert [once(journal, "what", answer) for answer in (1, 2)] == [1, 2]
    journal.stopped(Budget.of_seconds())
    assert once(journal, "what", 3) == 3


def test_the_journal_of_another_run_or_of_other_code_counts_for_nothing(file, monkeypatch):
    once(Journal(file, "run"), "what", 1)
    assert once(Journal(file, "another"), "what", 2) == 2
    monkeypatch.setattr("importlib.metadata.version", lambda library: "0")
    assert once(Journal(file, "another"), "what", 3) == 3


def test_answers_come_back_exactly(file):
    answer = {"a": np.array([[0.1, np.pi]]), "b": [1e-300, 0.1 + 0.2, 3], "c": np.array(2, dtype=np.float32)}
    once(Journal(file, "run"), "what", answer)
    again = once(Journal(file, "run"), "what", {})
    assert again["b"] == answer["b"]
    for name in ("a", "c"):
        assert again[name].dtype == answer[name].dtype
        assert np.array_equal(again[name], answer[name])


def test_another_question_than_before_drops_the_rest(file):
    journal = Journal(file, "run")
    for question in "abc":
        once(journal, question, question)
    journal = Journal(file, "run")
    assert once(journal, "a", "new") == "a"
    assert once(journal, "x", "new") == "new"
    journal = Journal(file, "run")
    assert [once(journal, question, "newest") for question in "axc"] == ["a", "new", "newest"]


def test_an_answer_is_never_given_for_another_digest(file):
    once(Journal(file, "run"), "match", 1.0, about="one program")
    assert once(Journal(file, "run"), "match", 0.5, about="another") == 0.5
    assert once(Journal(file, "run"), "match", 0.25, about="one program") == 0.25


def test_what_stands_behind_a_damaged_line_is_asked_again(file):
    journal = Journal(file, "run")
    for question in "abc":
        once(journal, question, question)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"', b"'", 1), lines[3]]))
    journal = Journal(file, "run")
    assert [once(journal, question, "new") for question in "abc"] == ["a", "new", "new"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        '["a it", 0.0]',
        '["a it", 0.0, 1, 2]',
        '[["a it"], 0.0, 1]',
        '["a it", "soon", 1]',
        '["a it", NaN, 1]',
        '["a it", -1, 1]',
        '["out of budget", 0.0, "x"]',
        '["a it", 0.0, {"base64": "?", "dtype": "<f8", "shape": [1]}]',
        '["a it", 0.0, {"base64": "", "dtype": "O", "shape": [1]}]',
        '["a it", 0.0, {"base64": ""}]',
        "[" * 100_000,
    ],
)
def test_a_line_that_no_run_writes_is_damaged_though_its_checksum_is_right(file, text):
    Journal(file, "run")
    with file.open("ab") as journal:
        journal.write(b"%08x %b\n" % (crc32(text.encode()), text.encode()))
    assert once(Journal(file, "run"), "a", "new") == "new"


def test_a_journal_that_is_closed_neither_answers_nor_adds(file):
    journal = Journal(file, "run")
    once(journal, "a", 1)
    journal.close(Budget.of_seconds())
    assert once(journal, "b", 2) == 2
    journal = Journal(file, "run")
    journal.close(Budget.of_seconds())
    assert once(journal, "a", 3) == 3
    assert once(Journal(file, "run"), "a", 4) == 1


def test_two_processes_do_not_write_to_one_run(file):
    first, second = (Journal(file, "run") for _ in range(2))
    once(first, "what", 1)
    with pytest.raises(RunFolderError, match="another process"):
        once(second, "what", 2)


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        Journal(tmp_path / "nowhere" / "journal", "run")


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["pathlib.Path.open", "os.truncate"])
def test_a_journal_that_cannot_be_written_any_more_ends_and_what_it_holds_stays(file, monkeypatch, call):
    journal = Journal(file, "run")
    for question in "ab":
        once(journal, question, 1)
    journal = Journal(file, "run")
    assert once(journal, "a", 2) == 1
    with monkeypatch.context() as full:
        full.setattr(call, _full)
        assert once(journal, "x", 2) == 2
        journal.stopped(Budget.of_seconds())
    assert once(journal, "y", 2) == 2
    assert journal.failed == f"{file} cannot be written: No space left on device"
    assert once(Journal(file, "run"), "a", 2) == 1
    assert b'"y' not in file.read_bytes()


def test_where_it_is_closed_while_it_answers_the_budget_goes_on(file):
    journal, work = Journal(file, "run"), Budget.of_work(100, BudgetTuning(pace=1))
    for question in "ab":
        journal.once(question, "it", lambda: work.charge(10), work)
    journal, budget = Journal(file, "run"), Budget.of_seconds(100)
    journal.once("a", "it", lambda: None, budget)
    journal.close(budget)
    left = budget.left()
    time.sleep(0.001)
    assert budget.left() < left


def spending(journal, limit):
    """A run of nine steps: some work outside questions, a question that takes two more, and where its slice ends another slice, in which it
    ends. Returns what was done, step by step, with what had been spent.
    """
    whole, log = Budget.of_work(1000, BudgetTuning(pace=1)), []
    for budget in (whole.until(limit / 1000), whole):
        try:
            for step in range(9):
                budget.check()
                budget.charge(1)
                log.append((step, budget.spent()))
                log.append(journal.once("what", f"{step}", lambda step=step, budget=budget: asked(step, budget), budget))
                budget.check()
                log.append("answered")
            log.append("done")
        except OutOfBudget:
            journal.stopped(budget)
            log.append("out of budget")
    return log, whole.spent()


def asked(step, budget):
    budget.check()
    budget.charge(2)
    budget.check()
    return step


LIMITS = range(1, 14)
"""Where a slice ends: in a question, before the first check after it, between two questions, and so on."""


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("later", [None, 1000])
def test_a_slice_ends_where_it_ended_before_whatever_is_left_now(file, limit, later):
    first = spending(Journal(file, "run"), limit)
    lines = file.read_bytes()
    assert lines.count(journals.STOP.encode()) == 1
    assert spending(Journal(file, "run"), later or limit) == first
    assert file.read_bytes() == lines


@pytest.mark.parametrize("limit", LIMITS)
def test_a_run_that_is_killed_anywhere_goes_on_as_if_it_had_not_been(file, limit):
    first = spending(Journal(file, "run"), limit)
    lines = file.read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        file.write_bytes(b"".join(lines[:count]))
        assert spending(Journal(file, "run"), limit) == first
        assert file.read_bytes().splitlines(keepends=True) == lines


@pytest.mark.parametrize("within", [True, False])
def test_time_is_up_where_it_was_up_before(file, within):
    def search(journal, share):
        """Of a slice that is a share of endless seconds; in it are some checks, within the questions or between them."""
        steps = []
        budget = Budget.of_seconds(1e9)
        try:
            for step in range(9):
                (budget.until(share) if step >= 3 and not within else budget).check()
                steps.append(step)
                if step % 2 == 0:
                    journal.once("what", f"{step}", (budget.until(share) if step >= 3 and within else budget).check, budget)
        except OutOfBudget:
            journal.stopped(budget)
            return steps
        return "in time"

    first = search(Journal(file, "run"), 0)
    assert search(Journal(file, "run"), 1) == first == list(range(5 if within else 3))


def test_a_stop_that_was_told_while_something_was_asked_is_told_once(file):
    budget = Budget.of_seconds(0)
    journal = Journal(file, "run")
    with pytest.raises(OutOfBudget):
        journal.once("what", "it", budget.check, budget)
    journal.stopped(budget)
    journal.stopped(budget)  # another slice
    assert file.read_bytes().count(journals.STOP.encode()) == 2


def test_the_time_of_earlier_processes_counts(file, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    budget = Budget.of_seconds(150)
    now += 100
    Journal(file, "run").once("what", "it", lambda: 1, budget)
    again, budget = Journal(file, "run"), Budget.of_seconds(150)
    assert again.used == 100
    again.once("what", "it", lambda: 2, budget)
    now += 20
    assert budget.spent() == pytest.approx(120)
    assert budget.until(0.5).left() == 0


def test_the_work_of_earlier_processes_counts(file):
    def run(budget):
        def ask():
            budget.charge(30)
            return 1

        journal = Journal(file, "run")
        budget.charge(10)
        journal.once("what", "it", ask, budget)
        budget.charge(5)
        return budget.spent()

    assert run(Budget.of_work(100, BudgetTuning(pace=1))) == run(Budget.of_work(100, BudgetTuning(pace=1))) == 45


SOURCE = '''"""A module."""


class Some:
    """A class."""

    def one(self):
        """A function."""
        return "x"
'''


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace("A module", "The module").replace("A class", "The class").replace("A function", "The function"),
        SOURCE.replace('    """A class."""\n\n', "").replace('"""A module."""\n', ""),
        "# A comment.\n" + SOURCE.replace('return "x"', "return 'x'  # another"),
        SOURCE.replace('return "x"', 'return (\n            "x"\n        )'),
    ],
)
def test_docstrings_comments_and_layout_are_no_code(same):
    assert same != SOURCE
    assert code_of(same) == code_of(SOURCE)


@pytest.mark.parametrize("other", [SOURCE.replace('"x"', '"y"'), SOURCE.replace("one", "two"), SOURCE + "Some()\n"])
def test_what_is_done_is_code(other):
    assert code_of(other) != code_of(SOURCE)


def test_a_function_that_only_has_a_docstring_does_what_an_empty_one_does():
    assert code_of('def one():\n    """Nothing."""\n') == code_of("def one():\n    pass\n")


def test_digests_tell_arrays_bytes_and_texts_apart():
    parts = [
        np.zeros(2),
        np.zeros((2, 1)),
        np.zeros(2, dtype=np.float32),
        np.array([0.0, 1.0]),
        b"a",
        "a",
        ("a", 1),
        None,
    ]
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest(np.arange(6).reshape(2, 3).T) == digest(np.arange(6).reshape(2, 3).T.copy())
