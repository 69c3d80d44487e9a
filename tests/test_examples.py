"""Tasks in one call: sequences, what counts in them, and what of them is kept for the judge."""

import dataclasses
from itertools import product

import numpy as np
import pytest

import drasp
from drasp.core.budget import Budget
from drasp.core.threads import one_thread
from drasp.errors import DraspError, TaskError
from drasp.evidence.gather import EvidenceTuning, Searched, gather
from drasp.evidence.kind import Question
from drasp.evidence.schema import KINDS, Evidence
from drasp.learn.evaluation import Examinee, draw
from drasp.learn.pools import Study
from drasp.model.fit import fitted
from drasp.model.forward import TorchTransformer
from drasp.model.told import Told
from drasp.tasks.protocol import Asked, Sample, Task, parts
from drasp.tasks.user import checked_answers, checked_sample, different_sample
from drasp.view.report.page import report
from drasp.view.terminal import terminal
from small_models import random_transformer

SUMS = [[a, b] for a in range(5) for b in range(5)]
WORDS = ["abab", "ba", "bbb", "a", "aaaaa", "abba", "bb", "baab", "aab", "b", "abbb", "babab"]


def _drawn(task: Task, count: int = 40) -> tuple[Sample, np.ndarray]:
    sample = checked_sample(task, np.random.default_rng(0), count, (0, 150))
    return sample, checked_answers(task, sample)


def test_numbers_are_their_own_ids_and_have_an_order() -> None:
    task = drasp.examples(SUMS, answers=lambda s: (s[0] + s[1]) % 5)
    assert task.vocabulary == task.order == ("0", "1", "2", "3", "4")
    sample, right = _drawn(task)
    assert (sample.position_ids == [0, 1]).all()
    assert (sample.scored == [False, True]).all()
    assert (right[:, 1] == sample.token_ids.sum(1) % 5).all()


def test_strings_are_characters_or_words_and_what_follows_is_right() -> None:
    task = drasp.examples(WORDS, scored="all")
    assert task.vocabulary == ("a", "b")
    sample, right = _drawn(task)
    for row, size in enumerate(sample.lengths):
        assert right[row, : size - 1].tolist() == sample.token_ids[row, 1:size].tolist()
        assert right[row, size - 1] == -1  # nobody knows what follows the last
    assert drasp.examples(["to be", "be"]).vocabulary == ("be", "to")


@pytest.mark.parametrize(
    ("scored", "wanted"), [("all", [0, 1, 2]), ("last", [2]), (-2, [1]), ([0, -1], [0, 2]), (lambda s: len(s) - 3, [0])]
)
def test_what_counts_is_said_by_name_position_or_function(scored: object, wanted: list[int]) -> None:
    sample, _ = _drawn(drasp.examples(["abc", "bca"], scored=scored), 1)
    assert np.flatnonzero(sample.scored[0]).tolist() == wanted


def test_outputs_are_named_apart_from_tokens() -> None:
    task = drasp.examples(
        [[0, 1], [1, 1], [0, 0]], "all", lambda s: ["even" if n % 2 == 0 else "odd" for n in np.cumsum(s)], ["even", "odd"]
    )
    sample, right = _drawn(task)
    assert task.outputs == ("even", "odd")
    assert (right == sample.token_ids.cumsum(1) % 2).all()


def test_a_function_of_sets_and_padding_that_is_stripped() -> None:
    task = drasp.examples(
        [[0, 1, 2, 2], [1, 0, 1, 2]], "all", lambda s: [{0, 1}] * (len(s) - 1) + [{2}], predict="next-token-set", pad=2, vocabulary=range(3)
    )
    sample, right = _drawn(task)
    assert task.padding == "2"
    assert task.order == ("0", "1")
    assert sorted(set(sample.lengths)) == [2, 3]
    assert (right[sample.scored].sum(1) == np.where(np.diff(sample.scored, append=False, axis=1)[sample.scored], 1, 2)).all()


def test_a_function_draws_anew_and_has_the_lengths_it_has() -> None:
    task = drasp.examples(lambda rng, count, lengths: rng.integers(0, 9, (count, 6)))
    first, second = (checked_sample(task, np.random.default_rng(seed), 10, (0, 50)).token_ids for seed in (0, 1))
    assert (first != second).any()
    with pytest.raises(TaskError, match="no sequence has a length in 51-100; they have 6-6"):
        checked_sample(task, np.random.default_rng(0), 10, (51, 100))


def test_a_third_of_a_list_is_kept_for_the_judge_and_counted_once() -> None:
    task = drasp.examples(WORDS * 5, scored="all")
    search, judged, all_inputs = parts(task)
    assert not all_inputs
    seen, kept = (different_sample(part, np.random.default_rng(0), 1000, (0, 150)) for part in (search, judged))
    rows = [{tuple(row[:size]) for row, size in zip(s.token_ids, s.lengths, strict=True)} for s in (seen, kept)]
    assert (len(rows[0]), len(rows[1])) == (8, 4)
    assert not rows[0] & rows[1]
    evaluation = draw(Examinee(judged, lambda t, p: np.zeros((*t.shape, 2)), (0, 150)), 1000, np.random.default_rng(0))
    assert evaluation.sequences == 4


@pytest.mark.parametrize(
    ("sequences", "inputs"),
    [
        (SUMS, 25),
        (["".join(word) for n in range(1, 5) for word in product("ab", repeat=n)], 30),
        ([["<", *word, ">"] for n in range(4) for word in product("ab", repeat=n)], 15),
        (lambda rng, count, lengths: rng.integers(0, 7, (count, 2)), 49),
        (SUMS[:-1], None),
        (lambda rng, count, lengths: np.sort(rng.integers(0, 7, (count, 2))), None),
        (lambda rng, count, lengths: rng.integers(0, 7, (count, 9)), None),
    ],
)
def test_whether_these_are_all_inputs(sequences: object, inputs: int | None) -> None:
    _, judged, all_inputs = parts(drasp.examples(sequences))
    assert all_inputs == (inputs is not None)
    if inputs is not None:
        assert len(different_sample(judged, np.random.default_rng(0), 1000, (0, 150)).token_ids) == inputs


CONSTANT = """drasp 1
vocabulary "0".."4"
positions 20
predict next-token

logits1 = project(op={"1": 1})
prediction = softmax(logits1)
"""


def test_what_a_bidirectional_model_reads_is_all_of_a_sequence() -> None:
    task = drasp.examples(SUMS, scored=0)
    assert parts(task.for_model(Asked(20, bidirectional=True))).all_inputs  # type: ignore[attr-defined]
    assert not parts(task.for_model(Asked(20))).all_inputs  # type: ignore[attr-defined]  # 5 inputs, each of them five times


def test_all_inputs_are_judged_and_have_no_interval() -> None:
    model, task = fitted(random_transformer(1, 1, 0), drasp.examples(SUMS), (0, 150), "it", Told())
    assert model.unembedding.shape[1] == 5  # it has a further token, which the task has not
    question = Question(Study(model, task, TorchTransformer(model)), drasp.Settings())
    program = drasp.parse(CONSTANT)
    with one_thread(True):
        *_, found = gather(Searched(program), question, Budget.of_seconds(20), lambda what: None, EvidenceTuning(kinds=KINDS[:4]))
    assert found.all_inputs
    assert found.match is not None
    share = found.match.all
    assert (share.sequences, share.low, share.high) == (25, share.accuracy, share.accuracy)
    assert "of all 25 inputs" in " ".join(terminal(program, found).split())
    assert found.model_task is None  # nobody said what is right
    assert {gap.kind: gap.reason for gap in found.gaps}["right"] == "nobody knows what is right on these sequences"
    assert Evidence.from_json(found.to_json()) == found
    assert '"low":' in report(program, found, "x")


def test_tokens_get_the_ids_of_the_models_tokenizer() -> None:
    model = random_transformer(1, 1, 0)
    told = Told(("b", "c", "a", "d", "e", "f"), None, "its tokenizer")
    _, task = fitted(model, drasp.examples(WORDS), (0, 150), "it", told)
    assert task.vocabulary == ("b", "c", "a")
    with pytest.raises(DraspError, match="has the token a as id 0, it as id 2, as its tokenizer says: give the vocabulary in the order"):
        fitted(model, drasp.examples(WORDS, vocabulary="ab"), (0, 150), "it", told)


def test_a_model_with_other_outputs_needs_their_names() -> None:
    model = random_transformer(1, 1, 0)
    model = dataclasses.replace(model, unembedding=model.unembedding[:, :2], unembedding_bias=np.zeros(0))
    with pytest.raises(DraspError, match="it has 6 tokens and 2 outputs: task examples must name them with outputs="):
        fitted(model, drasp.examples(WORDS), (0, 150), "it", Told())


def test_random_offsets_use_the_models_positions() -> None:
    _, task = fitted(random_transformer(1, 1, 0), drasp.examples(WORDS, offset="random"), (0, 150), "it", Told())
    sample, _ = _drawn(task, 500)
    assert sample.position_ids[:, 0].min() == 0
    assert sample.position_ids.max() == 19


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: drasp.examples("abc"), "sequences must be lists of tokens, or a function that draws them, not str"),
        (lambda: drasp.examples([]), "there is no sequence"),
        (lambda: drasp.examples([[]]), "there is no token"),
        (lambda: drasp.examples([["a", 1]]), "tokens are all strings or all whole numbers, not 1"),
        (lambda: drasp.examples([[0, -1]]), "-1 is no token id from 0 to 1000000: give vocabulary=, in id order"),
        (lambda: drasp.examples(["ab"], vocabulary="a"), "the token 'b' is not in the vocabulary; give vocabulary=, in id order"),
        (
            lambda: drasp.examples(["ab"], scored=2),
            "scored gives 2 for a sequence of 2 tokens: it must give one or more of their positions",
        ),
        (lambda: drasp.examples(["ab"], scored="first"), 'scored must be "all", "last", positions, or a function'),
        (lambda: drasp.examples(["ab"], answers=lambda s: "c"), "answers gives 'c', which is not in the vocabulary"),
        (lambda: drasp.examples(["ab"], answers=lambda s: 1 / 0), "answers('ab') failed: ZeroDivisionError: division by zero"),
        (lambda: drasp.examples(["ab"], "all", lambda s: ["a"]), "answers gives 1 for 2 scored positions of 'ab'"),
        (lambda: drasp.examples(["ab"], outputs="xy", answers=lambda s: "a"), "answers gives 'a', which is not one of the outputs x, y"),
        (lambda: drasp.examples(["ab"], predict="next"), "predict must be next-token or next-token-set, not 'next'"),
        (lambda: drasp.examples(["ab"], predict="next-token-set"), "next-token-set needs answers="),
        (lambda: drasp.examples(["ab"], vocabulary="ab", pad="c"), "pad is 'c', which is not in the vocabulary"),
        (lambda: drasp.examples(["ab"], offset=-1), 'offset must be a whole number from 0 to 1000000 or "random", not -1'),
        (lambda: drasp.examples(lambda rng, count, lengths: 1 / 0), "sequences(rng, 2000, (0, 150)) failed: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make: object, message: str) -> None:
    with pytest.raises(TaskError) as raised:
        make()  # type: ignore[operator]
    assert str(raised.value).startswith(f"examples: {message}")
    assert "\n" not in str(raised.value)


def test_a_task_file_may_have_one(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("import drasp\nwords = drasp.examples(['ab', 'ba'], scored=0)\n", encoding="utf-8")
    task = drasp.load_task(f"{tmp_path / 'mine.py'}:words")
    assert task.name == "words"
    sample, right = _drawn(task)
    assert (right[:, 0] == sample.token_ids[:, 1]).all()
