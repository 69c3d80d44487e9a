"""The reference interpreter, against outputs worked by hand and against a naive loop over positions."""

import subprocess
import sys
from math import e, exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drasp.errors import DraspError
from drasp.ir.formulas import Apply, Arithmetic, Coordinate, Formula, Number, Read, Test
from drasp.ir.nodes import (
    Aggregate,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.run import numpy_fast
from drasp.run.numpy_fast import evaluate, logits
from strategies import inputs, programs, small_numbers

HEADER = 'drasp 1\nvocabulary "a" "b" <bos>\npositions 6\npredict next-token\n'


def run(body: str, tokens: str, header: str = HEADER, positions: list[int] | None = None, **operators: object) -> dict[str, np.ndarray]:
    """The values of all variables and projections of a program without prediction, on one sequence: (time, size) each."""
    program = parse(header + body + "\nprediction = softmax(0)\n", {k: np.asarray(v, float) for k, v in operators.items()})
    ids = np.array([[program.header.vocabulary.index(token) for token in tokens.split()]])
    trace = evaluate(program, ids, None if positions is None else np.array([positions]))
    return {name: value[0] for name, value in {**trace.values, **trace.projections}.items()}


# Outputs worked by hand.


def test_no_selector_gives_the_share_of_each_token_so_far() -> None:
    found = run("x = aggregate(s=[], v=token)", "<bos> a a b")["x"]
    np.testing.assert_allclose(found, [[0, 0, 1], [1 / 2, 0, 1 / 2], [2 / 3, 0, 1 / 3], [1 / 2, 1 / 4, 1 / 4]])


def test_bidirectional_attention_averages_over_the_whole_sequence() -> None:
    found = run("x = aggregate(s=[], v=token)", "a b b b", HEADER + "attention bidirectional\n")["x"]
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4, 0]] * 4)


def test_a_hard_selector_of_the_previous_position_fetches_the_previous_token() -> None:
    found = run("s = select(q=pos, k=pos, op=hard(k == q - 1))\nx = aggregate(s=s, v=token)", "<bos> a b a")["x"]
    np.testing.assert_allclose(found, [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0]])


def test_positions_may_start_anywhere() -> None:
    body = "s = select(q=pos, k=pos, op=hard(k == q - 1))\nx = aggregate(s=s, v=pos)"
    found = run(body, "a b a", positions=[3, 4, 5])["x"]
    np.testing.assert_allclose(found.argmax(-1), [3, 3, 4])


def test_scores_of_several_selectors_are_added_before_the_softmax() -> None:
    body = 's = select(k=token, op={"a": 1})\nt = select(k=pos, op=1*(k == 1))\nx = aggregate(s=s+t, v=token)'
    found = run(body, "b a b")["x"]
    total = 1 + e**2 + 1
    np.testing.assert_allclose(found, [[0, 1, 0], [e**2 / (1 + e**2), 1 / (1 + e**2), 0], [e**2 / total, 2 / total, 0]])


def test_a_selector_added_twice_counts_twice() -> None:
    body = 's = select(k=token, op={"a": 1})\nx = aggregate(s=s+s, v=token)'
    np.testing.assert_allclose(run(body, "b a")["x"][1], [e**2 / (1 + e**2), 1 / (1 + e**2), 0])


def test_the_operators_row_is_the_querys_and_its_column_the_keys() -> None:
    body = "s = select(q=token, k=pos, op=W)\nx = aggregate(s=s, v=pos)"
    weights = [[0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]  # "b" looks at position 0
    found = run(body, "a b", W=weights)["x"]
    np.testing.assert_allclose(found[1, :2], [1 / (1 + exp(-9)), exp(-9) / (1 + exp(-9))])


def test_a_divided_variable_is_divided_in_its_own_basis() -> None:
    body = 'n = norm(token, op={"a": {"a": 4}, "b": {"b": 9}, <bos>: {<bos>: 1}})\ny = project(inp=token / n, op=6*(out == inp))'
    found = run(body, "a b <bos>")
    np.testing.assert_allclose(found["n"], [[2], [3], [1]])
    np.testing.assert_allclose(found["y"], [[3, 0, 0], [0, 2, 0], [0, 0, 6]])


def test_an_average_of_a_divided_variable_divides_before_it_averages() -> None:
    body = 'n = table(token, op={"a": 2, "b": 4, <bos>: 1})\nx = aggregate(s=[], v=token / n)'
    np.testing.assert_allclose(run(body, "a b")["x"], [[1 / 2, 0, 0], [1 / 4, 1 / 8, 0]])


def test_dividing_by_zero_gives_zero() -> None:
    found = run('n = [token["a"]]\nx = project(inp=token / n, op=(out == inp))\ny = 3 / n[0]', "a b")
    np.testing.assert_allclose(found["x"], [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(found["y"], [[3], [0]])


def test_a_dense_norm_is_the_root_of_its_quadratic_form_and_eps() -> None:
    gram = np.array([[4.0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 2]])
    program = parse(HEADER + "n = norm(token, one, op=G)\nprediction = softmax(0)\n", {"G": gram, "G.eps": np.float64(0.5)})
    found = evaluate(program, np.array([[0, 1]])).values["n"][0]
    np.testing.assert_allclose(found, [[sqrt(4 + 2 + 2 * 1 + 0.5)], [sqrt(1 + 2 + 0.5)]])


def test_an_mlp_normalises_its_summed_inputs_and_applies_gelu() -> None:
    tensors = {
        "M.in.0": np.array([[3.0, 1], [0, 0], [0, 0]]),
        "M.in.1": np.array([[2.0, 0]]),
        "M.gain": np.array([1.0, 2]),
        "M.shift": np.array([0.5, 0]),
        "M.eps": np.float64(0),
        "M.w_in": np.eye(2),
        "M.b_in": np.array([0.0, 1]),
        "M.w_out": np.array([[1.0, 0], [0, 10]]),
        "M.b_out": np.array([0.0, 7]),
    }
    # "a": the sum is (5, 1), the mean 3, the deviation 2: normed (1, -1), scaled and shifted (1.5, -2), into the hidden units (1.5, -1).
    gelu = {x: 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))) for x in (1.5, -1.0, 0.5, 0.0)}
    body = HEADER + "m = mlp(token, one, op=M)\nprediction = softmax(0)\n"
    np.testing.assert_allclose(evaluate(parse(body, tensors), np.array([[0]])).values["m"][0], [[gelu[1.5], 10 * gelu[-1.0] + 7]])
    fixed = parse(body, {**tensors, "M.sigma": np.float64(4)})  # (2, -2) / 4, scaled and shifted (1, -1), into the hidden units (1, 0)
    np.testing.assert_allclose(evaluate(fixed, np.array([[0]])).values["m"][0], [[0.8411919906082768, 7]])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("harden(x)", [[0, 0, 1], [1, 0, 0], [1, 0, 0]]),  # the first of equals
        ("sharpen(x, 2)", [[0, 0, 1], [1 / 2, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3]]),
        ("sharpen(y, 2)", [[0, 0, 1], [1 / 5, 0, 4 / 5], [1 / 6, 1 / 6, 4 / 6]]),
        ('table(token, op={"a": {0: 2, 1: 3}, "b": {1: -1}})', [[0, 0], [2, 3], [0, -1]]),
        ('table(token, op={"a": 2, "b": -1})', [[0], [2], [-1]]),
        ("compare(token, x, op=5*(x == y))", [[5], [5 / 2], [5 / 3]]),
        ('case(token, {"a": x["a"] + 1, <bos>: 7})', [[7], [1.5], [0]]),
        ('relu(x["a"] - 0.4)', [[0], [0.1], [0]]),
        ('step(x["a"])', [[0], [1], [1]]),
        ('[sign(x["a"] - x["b"]), -x["a"]]', [[0, 0], [1, -1 / 2], [0, -1 / 3]]),
        ('min(x["a"], x["b"], 0.1)', [[0], [0], [0.1]]),
        ('max(x["a"], x["b"], 0.4)', [[0.4], [0.5], [0.4]]),
        ('2*x["a"] / (x["b"] + 1) - 3', [[-3], [-2], [-2.5]]),
        ('x["a"] - x["b"] - 1', [[-1], [-0.5], [-1]]),
        ('x["a"] - (x["b"] - 1)', [[1], [1.5], [1]]),
        ("gelu(token[<bos>])", [[0.8411919906082768], [0], [0]]),
        ('exists(x, "b")', [[0], [0], [1]]),
        ("only(x)", [[1], [0], [0]]),
        ('balance(x, "a", "b")', [[1], [0], [1]]),
        ("5", [[5], [5], [5]]),
    ],
)
def test_element_wise_operations(line: str, expected: list[list[float]]) -> None:
    body = f"x = aggregate(s=[], v=token)\ny = table(x, op={{'a': 0}})\nz = {line}".replace(
        "table(x, op={'a': 0})", 'table(x, op={"a": {0: 1}, "b": {1: 1}, <bos>: {2: 2}})'
    )
    np.testing.assert_allclose(run(body, "<bos> a b")["z"], expected, atol=1e-12)


def test_a_pair_has_one_coordinate_for_each_two() -> None:
    found = run('x = pair(token, pos)\ny = project(inp=x, op={("a", 1): {"b": 3}})', "a a b")
    assert found["x"].shape == (3, 18)
    np.testing.assert_array_equal(found["x"].argmax(-1), [0, 1, 6 + 2])
    np.testing.assert_allclose(found["y"], [[0, 0, 0], [0, 3, 0], [0, 0, 0]])


def test_logits_are_the_sum_of_the_projections_that_the_prediction_names() -> None:
    body = 'x = project(inp=token, op=(out == inp))\ny = project(op={"b": 5})\nz = project(op={"a": 9})\nprediction = softmax(x + y)\n'
    program = parse(HEADER + body)
    np.testing.assert_allclose(program.logits(np.array([[0, 1]])), [[[1, 5, 0], [0, 6, 0]]])


def test_a_prediction_of_nothing_has_zero_logits() -> None:
    assert not parse(HEADER + "prediction = softmax(0)\n").logits(np.array([[0, 1]])).any()


# Against a naive implementation: one position after the other, no index arrays, nothing shared.


class Naive:
    """One sequence. Each statement is computed from what the interpreter found before it, so that rounding cannot add up at a step."""

    def __init__(self, program: Program, tokens: np.ndarray, positions: np.ndarray, found: dict[str, np.ndarray]) -> None:
        self.program = program
        self.time = len(tokens)
        self.values = {
            "token": np.eye(len(program.header.vocabulary))[tokens],
            "pos": np.eye(program.header.positions)[positions],
            "one": np.ones((self.time, 1)),
            **found,
        }

    def statement(self, s: Statement) -> list[np.ndarray]:
        if isinstance(s, Project):
            return [self.read(s.input, i) @ self.program.matrix(s.name) for i in range(self.time)]
        if isinstance(s, Prediction):
            zero = np.zeros(len(self.program.header.vocabulary))
            return [sum((self.values[name][i] for name in s.logits), zero) for i in range(self.time)]
        return [self.variable(s, i) for i in range(self.time)]

    def read(self, read: Read, i: int) -> np.ndarray:
        x = self.values[read.variable][i]
        if read.over is None:
            return x
        n = self.values[read.over][i][0]
        return x / n if n != 0 else np.zeros_like(x)

    def variable(self, s: Statement, i: int) -> np.ndarray:
        matrix = self.program.matrix
        tensor = self.program.operators
        if isinstance(s, Aggregate):
            keys = range(self.time if self.program.header.bidirectional else i + 1)
            scores = [0.0 for _ in keys]
            for name in s.selectors:
                select = self.program.by_name[name]
                for j in keys:
                    scores[j] += self.read(select.query, i) @ matrix(name) @ self.read(select.key, j)
            weights = [exp(score - max(scores)) for score in scores]
            return sum(w / sum(weights) * self.read(s.value, j) for j, w in zip(keys, weights, strict=True))
        if isinstance(s, Norm):
            z = np.concatenate([self.read(r, i) for r in s.inputs])
            return np.array([sqrt(max(z @ matrix(s.name) @ z, 0) + tensor.get(f"{getattr(s.op, 'name', '')}.eps", 0))])
        if isinstance(s, Mlp):
            r = sum(self.read(read, i) @ tensor[f"{s.op}.in.{k}"].astype(float) for k, read in enumerate(s.inputs))
            sigma = tensor.get(f"{s.op}.sigma", sqrt(r.var() + tensor[f"{s.op}.eps"]))
            h = (r - r.mean()) / sigma * tensor[f"{s.op}.gain"] + tensor[f"{s.op}.shift"]
            return gelu(h @ tensor[f"{s.op}.w_in"] + tensor[f"{s.op}.b_in"]) @ tensor[f"{s.op}.w_out"] + tensor[f"{s.op}.b_out"]
        if isinstance(s, Table):
            return self.read(s.input, i) @ matrix(s.name)
        if isinstance(s, Harden):
            x = self.read(s.input, i)
            return np.eye(len(x))[list(x).index(max(x))]
        if isinstance(s, Sharpen):
            x = [max(v, 0) for v in self.read(s.input, i)]
            powers = np.array([(v / max(x)) ** s.power if max(x) else 0 for v in x])
            return powers / powers.sum() if powers.sum() else powers
        if isinstance(s, Pair):
            return np.array([a * b for a in self.read(s.first, i) for b in self.read(s.second, i)])
        if isinstance(s, Compare):
            return np.array([self.read(s.first, i) @ matrix(s.name) @ self.read(s.second, i)])
        if isinstance(s, Compute):
            return np.array([self.formula(f, i) for f in s.formulas])
        assert isinstance(s, Case)
        return np.array([sum(self.coordinate(s.input, label, i) * self.formula(f, i) for label, f in s.branches)])

    def coordinate(self, read: Read, label: object, i: int) -> float:
        return self.read(read, i)[self.program.header.axis(self.program.bases[read.variable]).index(label)]

    def formula(self, f: Formula, i: int) -> float:
        if isinstance(f, Number):
            return f.value
        if isinstance(f, Coordinate):
            return self.coordinate(f.read, f.label, i)
        if isinstance(f, Test):
            x = self.read(f.read, i)
            named = [self.coordinate(f.read, label, i) for label in f.labels]
            if f.name == "exists":
                return float(named[0] > 1e-6)
            return float(abs(named[0] - named[1]) <= 1e-6) if f.name == "balance" else float(sum(v > 1e-6 for v in x) == 1)
        if isinstance(f, Apply):
            a = [self.formula(g, i) for g in f.arguments]
            functions = {"relu": lambda: max(a[0], 0), "gelu": lambda: gelu(a[0]), "step": lambda: float(a[0] > 0)}
            functions |= {"sign": lambda: float(a[0] > 0) - float(a[0] < 0), "min": lambda: min(a), "max": lambda: max(a)}
            return functions[f.function]()
        if isinstance(f, Arithmetic):
            a, b = self.formula(f.left, i), self.formula(f.right, i)
            return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else 0.0}[f.operator]
        return -self.formula(f.operand, i)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@settings(max_examples=150)
@given(st.data())
def test_the_interpreter_agrees_with_the_naive_one(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    with np.errstate(all="ignore"):
        trace = evaluate(program, tokens, positions)
        for row in range(len(tokens)):
            found = {n: v[row] for n, v in {**trace.values, **trace.projections, "prediction": trace.logits}.items()}
            naive = Naive(program, tokens[row], positions[row], found)
            for statement in program.statements:
                if isinstance(statement, Select) or not np.isfinite(found[statement.name]).all():
                    continue
                atol = 1e-9 * (1 + abs(found[statement.name]).max())
                np.testing.assert_allclose(found[statement.name], naive.statement(statement), rtol=1e-6, atol=atol, err_msg=statement.name)


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
        program.logits(np.array(tokens), None if positions is None else np.array(positions))


def test_very_large_scores_do_not_overflow() -> None:
    body = 's = select(k=token, op={"a": 1e300, "b": -1e300})\nx = aggregate(s=s, v=token)'
    np.testing.assert_array_equal(run(body, "b a b")["x"], [[0, 1, 0], [1, 0, 0], [1, 0, 0]])


def test_the_language_and_its_interpreter_import_no_torch() -> None:
    code = "import sys, drasp.lang.folder, drasp.run.numpy_fast, drasp.ir.size; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
