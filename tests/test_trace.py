"""A program's trace on one sequence: what it holds, and how it shows itself."""

from pathlib import Path

import numpy as np
import pytest

from drasp.errors import DraspError
from drasp.program import load_program, parse
from drasp.run.numpy_fast import evaluate

EXAMPLE = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")


def test_it_holds_what_the_interpreter_computes() -> None:
    trace = EXAMPLE.trace(["<bos>", "1", "0", "0"], offset=3)
    expected = evaluate(EXAMPLE, np.array([[2, 1, 0, 0]]), np.array([[3, 4, 5, 6]]))
    assert trace.tokens == ("<bos>", "1", "0", "0")
    assert trace.positions == (3, 4, 5, 6)
    assert list(trace.variables) == ["a1", "m1"]
    assert list(trace.projections) == ["logits1"]
    np.testing.assert_array_equal(trace.variables["m1"], expected.values["m1"][0])
    np.testing.assert_array_equal(trace.attention["a1"], expected.attention["a1"][0])
    np.testing.assert_array_equal(trace.logits, expected.logits[0])
    assert trace.predictions[-1] == {"1", "<eos>"}


@pytest.mark.parametrize("tokens", ["<bos> 1 0", ["<bos>", "1", "0"], ("<bos>", 1, np.int64(0)), [2, 1, 0], np.array([2, 1, 0])])
def test_tokens_may_be_words_or_ids(tokens) -> None:
    assert EXAMPLE.trace(tokens).tokens == ("<bos>", "1", "0")


def test_where_one_token_is_predicted_it_is_that_token() -> None:
    program = parse(
        'drasp 1\nvocabulary "a" "b"\npositions 3\npredict next-token\nl = project(inp=token, op=(out != inp))\nprediction = softmax(l)\n'
    )
    assert program.trace("a b").predictions == ("b", "a")


def test_it_prints_every_variable_at_every_position() -> None:
    printed = str(EXAMPLE.trace("<bos> 0")).splitlines()
    assert printed == [
        "",
        "   0  <bos>  ->  {0, 1, <eos>}",
        "      a1: <bos> 1",
        "          attends to <bos>@0 1.00",
        "      m1: [0] 1, [1] 1",
        "      logits1: 0 1, 1 1, <eos> 1",
        "",
        "   1  0      ->  {0, 1, <eos>}",
        "      a1: <bos> 1",
        "          attends to <bos>@0 1.00",
        "      m1: [0] 1, [1] 1",
        "      logits1: 0 1, 1 1, <eos> 1",
    ]


@pytest.mark.parametrize(
    ("tokens", "offset", "message"),
    [
        ("", 0, "there is no token"),
        ("2", 0, "unknown token '2'; the program's vocabulary is 0 1 <bos> <sep> <eos> <pad>"),
        ([6], 0, "unknown token 6"),
        ([-1], 0, "unknown token -1"),
        ([True], 0, "unknown token True"),
        (np.zeros((1, 2), int), 0, "unknown token"),
        ("0 0", 151, "2 tokens from position 151 on reach beyond the program's 152 positions"),
        ("0", -1, "reach beyond"),
    ],
)
def test_what_is_no_sequence_is_refused(tokens, offset: int, message: str) -> None:
    with pytest.raises(DraspError, match=message):
        EXAMPLE.trace(tokens, offset)


def test_coordinates_are_named_as_in_a_program() -> None:
    trace = EXAMPLE.trace("<bos>")
    assert trace.coordinates("a1") == ('"0"', '"1"', "<bos>", "<sep>", "<eos>", "<pad>")
    assert trace.coordinates("m1") == ("0", "1")
    with pytest.raises(DraspError, match="there is no variable s1; there are a1, m1, logits1"):
        trace.coordinates("s1")
