"""The meaning of the language, against outputs worked by hand; and the fast interpreter beside it."""

from math import e, exp, sqrt

import numpy as np
import pytest

from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.run.meaning import meaning
from drasp.run.numpy_fast import evaluate

HEADER = 'drasp 1\nvocabulary "a" "b" <bos>\npositions 6\npredict next-token\n'


def run(body: str, tokens: str, header: str = HEADER, positions: list[int] | None = None, **operators: object) -> dict[str, np.ndarray]:
    """What a program without prediction means on one sequence, by name; the fast interpreter must say the same."""
    program = parse(header + body + "\nprediction = softmax(0)\n", {k: np.asarray(v, float) for k, v in operators.items()})
    return both(program, [program.header.vocabulary.index(token) for token in tokens.split()], positions)


def both(program: Program, tokens: list[int], positions: list[int] | None = None) -> dict[str, np.ndarray]:
    positions = positions or list(range(len(tokens)))
    meant = meaning(program, tokens, positions)
    fast = evaluate(program, np.array([tokens]), np.array([positions]))
    for name, value in {**fast.values, **fast.projections, "prediction": fast.logits}.items():
        np.testing.assert_allclose(value[0], meant[name], atol=1e-12, err_msg=name)
    return meant


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
    found = both(program, [0, 1])["n"]
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
    np.testing.assert_allclose(both(parse(body, tensors), [0])["m"], [[gelu[1.5], 10 * gelu[-1.0] + 7]])
    fixed = parse(body, {**tensors, "M.sigma": np.float64(4)})  # (2, -2) / 4, scaled and shifted (1, -1), into the hidden units (1, 0)
    np.testing.assert_allclose(both(fixed, [0])["m"], [[0.8411919906082768, 7]])


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
    np.testing.assert_allclose(both(program, [0, 1])["prediction"], [[1, 5, 0], [0, 6, 0]])


def test_a_prediction_of_nothing_has_zero_logits() -> None:
    assert not both(parse(HEADER + "prediction = softmax(0)\n"), [0, 1])["prediction"].any()


def test_very_large_scores_do_not_overflow() -> None:
    body = 's = select(k=token, op={"a": 1e300, "b": -1e300})\nx = aggregate(s=s, v=token)'
    np.testing.assert_array_equal(run(body, "b a b")["x"], [[0, 1, 0], [1, 0, 0], [1, 0, 0]])
