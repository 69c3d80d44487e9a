"""Every sequence up to some length: the shortest counterexamples of programs whose errors are known."""

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.evidence.language import Counterexample, LanguageTuning, Wrong, language
from drasp.learn.evaluation import Examinee, draw, trivial
from drasp.program import parse
from drasp.tasks.registry import get_task, task_names
from test_evaluation import MAJORITY
from test_evidence_mistakes import ALWAYS_0

D2 = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

a1 = aggregate(s=[], v=token)
m1 = [2*a1["b"] - 2*a1["a"] + 3*a1[<bos>], 2*a1["a"] - 2*a1["b"] - a1[<bos>]]
logits1 = project(inp=m1, op={0: {"a": 1}, 1: {"b": 1, <eos>: -1}})
prediction = sigmoid(logits1)
"""
D1 = D2.replace("3*a1[<bos>]", "a1[<bos>]")  # opens one bracket at the most


def _found(name, program, model, lengths=(0, 150)):
    examinee = Examinee(get_task(name), parse(model).logits, lengths)
    fitting = draw(examinee, 100, np.random.default_rng(0))
    return language(parse(program), examinee, trivial(fitting), Budget.of_seconds(), LanguageTuning())


def test_the_shortest_counterexample_of_a_set_of_tokens():
    found = _found("D2", D1, D2, (0, 10))
    assert (found.lengths, found.sequences) == ((0, 10), 1 + 1 + 2 + 4 + 8 + 16)
    assert found.program == Wrong(31, Counterexample(("<bos>", "a"), ("b",), ("a", "b")))
    assert found.model == Wrong(0, None)
    assert found.alike == 1  # the empty word


def test_the_shortest_counterexample_of_a_next_token():
    found = _found("bin_majority", MAJORITY, ALWAYS_0)
    assert found.program == Wrong(0, None)
    assert found.model.wrong == found.sequences / 2
    assert found.model.shortest == Counterexample(("<bos>", "1", "<sep>"), "0", "1")
    assert found.baseline.constant.wrong == found.model.wrong  # the model is that constant


def test_a_task_whose_sequences_cannot_be_listed_has_no_such_evidence():
    program = """drasp 1
vocabulary "0".."149" <bos> <sep> <eos> <pad>
positions 155
predict next-token

logits1 = project(op={"0": 1})
prediction = softmax(logits1)
"""
    assert _found("count", program, program) is None


@pytest.mark.parametrize("name", task_names())
def test_what_a_task_lists_is_what_it_draws(name):
    """Among the listed sequences of a length is every one that is drawn, each listed once, in order, and scored alike."""
    task, several = get_task(name), 0
    for length in range(7):
        listed = task.every(length, LanguageTuning().most)
        if listed is None:
            continue
        rows = [tuple(row) for row in listed.token_ids]
        assert sorted(set(rows)) == rows or name == "sort"
        if length not in task.valid_lengths:
            assert not rows
            continue
        drawn = task.sample(np.random.default_rng(length), 200, (length, length))
        scored = dict(zip(rows, listed.scored, strict=True))
        for row, marks in zip(map(tuple, drawn.token_ids), drawn.scored, strict=True):
            assert np.array_equal(scored[row], marks)
        several += len(rows) > 1
        assert task.every(length, len(rows) - 1) is None
    assert several or name in ("count", "addition", "tomita1", "tomita2", "aastar", "aaaastar", "ababstar")
