"""The fast interpreter, against the meaning of the language and against itself."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drasp.errors import DraspError
from drasp.ir.nodes import Aggregate, Case, Compute, Harden, Select
from drasp.lang.parser import parse
from drasp.run import numpy_fast
from drasp.run.meaning import attention, built_in, value
from drasp.run.numpy_fast import evaluate, logits
from strategies import inputs, programs, small_numbers

HEADER = 'drasp 1\nvocabulary "a" "b" <bos>\npositions 6\npredict next-token\n'


@settings(max_examples=150)
@given(st.data())
def test_each_statement_computes_what_it_means(data: st.DataObject) -> None:
    """From what the interpreter itself found before the statement, so that rounding cannot add up at a step."""
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        trace = evaluate(program, tokens, positions)
        for row in range(len(tokens)):
            values = built_in(program, tokens[row], positions[row])
            found = {n: v[row] for n, v in {**trace.values, **trace.projections, "prediction": trace.logits}.items()}
            for statement in program.statements:
                meant = value(program, statement, values)
                values[statement.name] = found.get(statement.name, meant)  # scores of selectors are not kept
                if isinstance(statement, Select) or not np.isfinite(found[statement.name]).all():
                    continue
                assert_close(found[statement.name], meant, statement.name)
                if isinstance(statement, Aggregate):
                    assert_close(trace.attention[statement.name][row], attention(program, statement, values), statement.name)


def assert_close(found: np.ndarray, expected: np.ndarray, name: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * (1 + abs(expected).max(initial=0)), err_msg=name)


@settings(max_examples=60)
@given(st.data())
def test_attention_weights_are_those_that_average(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        trace = evaluate(program, tokens, positions)
    for statement in program.statements:
        if isinstance(statement, Aggregate):
            weights = trace.attention[statement.name]
            assert weights.shape == (*tokens.shape, tokens.shape[1])
            if np.isfinite(weights).all():
                np.testing.assert_allclose(weights.sum(-1), 1)
                assert program.header.bidirectional or not np.triu(weights, 1).any()
                if statement.value.over is None and np.isfinite(trace.value(statement.value.variable)).all():
                    expected = weights @ trace.value(statement.value.variable)
                    np.testing.assert_allclose(trace.values[statement.name], expected, rtol=1e-6, atol=1e-9 * (1 + abs(expected).max()))


@settings(max_examples=60)
@given(st.data())
def test_the_light_path_gives_the_same_logits(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(logits(program, tokens, positions), evaluate(program, tokens, positions).logits)


@settings(max_examples=60)
@given(st.data())
def test_the_logits_where_scored_are_those_of_all_positions(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    scored = data.draw(arrays(bool, tokens.shape))
    with np.errstate(all="ignore"):
        expected = logits(program, tokens, positions)[scored]
        found = logits(program, tokens, positions, scored=scored)
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    assert np.array_equal(finite, np.isfinite(found))
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-6, atol=1e-9 * (1 + abs(expected[finite]).max(initial=0)))


@settings(max_examples=60)
@given(st.data())
def test_neither_blocks_nor_the_faster_ways_change_what_is_computed(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        expected = logits(program, tokens, positions)
        for name, value in {"QUERIES_PER_BLOCK": 2, "PAIRS_PER_BLOCK": 5, "COUNTED_FROM": 2, "LEAST_ODDS": np.inf}.items():
            patch.setattr(numpy_fast, name, value)
        found = logits(program, tokens, positions)
    finite = np.isfinite(expected)
    assert np.array_equal(finite, np.isfinite(found))
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-6, atol=1e-9 * (1 + abs(expected[finite]).max(initial=0)))


@settings(max_examples=60)
@given(st.data())
def test_float32_is_float32_all_through(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        trace = evaluate(program, tokens, positions, dtype=np.float32)
    arrays = [trace.logits, *trace.values.values(), *trace.projections.values(), *trace.attention.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@settings(max_examples=60)
@given(st.data())
def test_what_comes_after_changes_nothing_before(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers).filter(lambda p: not p.header.bidirectional))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        whole, start = logits(program, tokens, positions), logits(program, tokens[:, :2], positions[:, :2])
    if np.isfinite(whole).all():
        sharp = any(isinstance(s, Harden | Compute | Case) for s in program.statements)  # a rounding error may become a difference
        assert sharp or np.allclose(whole[:, :2], start, rtol=1e-6, atol=1e-9 * (1 + abs(whole).max()))


# Constants, and inputs that are refused.


def test_a_constant_replaces_a_variable_at_every_position() -> None:
    program = parse(HEADER + "x = aggregate(s=[], v=token)\ny = project(inp=x, op=(out == inp))\nprediction = softmax(y)\n")
    found = logits(program, np.array([[0, 1]]), constants={"x": np.array([1, 2, 3])})
    np.testing.assert_array_equal(found, [[[1, 2, 3], [1, 2, 3]]])


def test_nothing_scored_gives_no_logits() -> None:
    body = "x = aggregate(s=[], v=token)\np = pair(one, x)\ny = project(inp=x, op=(out == inp))\n"
    program = parse(HEADER + body + "prediction = softmax(y)\n")
    assert logits(program, np.array([[0, 1]]), scored=np.zeros((1, 2), bool)).shape == (0, 3)


def test_a_constant_for_each_position_is_read_where_scored() -> None:
    program = parse(HEADER + "y = project(inp=token, op=(out == inp))\nprediction = softmax(y)\n")
    each = np.array([[[1, 2, 3], [4, 5, 6]]])
    np.testing.assert_array_equal(logits(program, np.array([[0, 1]]), constants={"y": each}, scored=np.array([[False, True]])), [[4, 5, 6]])


def test_a_constant_replaces_a_projection() -> None:
    program = parse(HEADER + "y = project(inp=token, op=(out == inp))\nprediction = softmax(y)\n")
    np.testing.assert_array_equal(logits(program, np.array([[0]]), constants={"y": np.array([1, 2, 3])}), [[[1, 2, 3]]])


def test_a_selector_with_a_constant_is_left_out() -> None:
    body = "s = select(q=pos, k=pos, op=hard(k == q))\nx = aggregate(s=s, v=token)\ny = project(inp=x, op=(out == inp))\n"
    program = parse(HEADER + body + "prediction = softmax(y)\n")
    for found in (
        logits(program, np.array([[0, 1]]), constants={"s": np.zeros(0)}),
        evaluate(program, np.array([[0, 1]]), constants={"s": np.zeros(0)}).logits,
    ):
        np.testing.assert_allclose(found, [[[1, 0, 0], [1 / 2, 1 / 2, 0]]])


@pytest.mark.parametrize(
    ("tokens", "positions", "message"),
    [
        ([[0, 3]], None, "token ids must lie in 0..2, not 0..3"),
        ([[-1]], None, "token ids must lie in 0..2, not -1..-1"),
        ([0, 1], None, r"token ids must be integers of shape \(batch, time\), not int64 of shape \(2,\)"),
        ([[0.5]], None, "token ids must be integers"),
        ([[]], None, "token ids must be integers"),
        (np.zeros((2, 0), int), None, r"not int64 of shape \(2, 0\)"),
        ([[0] * 7], None, "position ids must lie in 0..5, not 0..6"),
        ([[0, 1]], [[0]], r"token ids have shape \(1, 2\), position ids \(1, 1\)"),
    ],
)
def test_ids_that_are_no_ids_are_refused(tokens: list[object], positions: list[object] | None, message: str) -> None:
    program = parse(HEADER + "prediction = softmax(0)\n")
    with pytest.raises(DraspError, match=message):
        logits(program, np.array(tokens), None if positions is None else np.array(positions))


def test_the_language_and_its_interpreters_import_no_torch() -> None:
    code = "import sys, drasp.lang.folder, drasp.run.meaning, drasp.run.numpy_fast, drasp.ir.size; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("positions", "lines", "message"),
    [
        (123_456_789, "l = project(op=1)", "there are at most 1000000 positions, not 123456789"),
        (
            900_000,
            "s = select(q=pos, k=pos, op=20*(q==k))\na = aggregate(s=s, v=token)\nl = project(op=1)",
            "statement s: its operator would be a matrix of 900000 x 900000 numbers, 6480.0 GB: 0.5 GB at the most",
        ),
        (900_000, "p = pair(pos, pos)\nl = project(op=1)", "statement p: it has 810000000000 coordinates, .* GB for 2 tokens"),
    ],
)
def test_what_would_not_fit_is_refused_with_its_size(positions: int, lines: str, message: str) -> None:
    text = HEADER.replace("positions 6", f"positions {positions}") + lines + "\nprediction = softmax(l)\n"
    with pytest.raises(DraspError, match=message):
        logits(parse(text), np.array([[0, 1]]))
