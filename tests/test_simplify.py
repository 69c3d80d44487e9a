"""Exact clean-up: fewer statements, the same logits."""

import numpy as np
import pytest

from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.rewrite.simplify import simplify
from drasp.rewrite.tidy import tidy
from drasp.run.numpy_fast import logits

HEADER = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 12\npredict next-token-set\n'
RNG = np.random.default_rng(0)


def _mlp(name: str, sizes: list[int], width: int = 4) -> dict[str, np.ndarray]:
    tensors = {f"{name}.in.{i}": RNG.normal(size=(size, width)) for i, size in enumerate(sizes)}
    shapes = {"gain": (width,), "shift": (width,), "w_in": (width, 8), "b_in": (8,), "w_out": (8, width), "b_out": (width,)}
    return tensors | {f"{name}.{part}": RNG.normal(size=shape) for part, shape in shapes.items()} | {f"{name}.eps": np.array(1e-5)}


CASES = {
    "what nothing reads is dropped": (
        "a1 = aggregate(s=[], v=token)\nlogits1 = project(inp=token, op=B)\nprediction = sigmoid(logits1)",
        {"B": RNG.normal(size=(6, 6))},
        "logits1 = project(inp=token, op=B1)\nprediction = sigmoid(logits1)",
    ),
    "a constant joins the projection of an average": (
        "a1 = aggregate(s=[], v=token)\nlogits1 = project(inp=a1, op=B)\nlogits2 = project(op=C)\nprediction = sigmoid(logits1 + logits2)",
        {"B": RNG.normal(size=(6, 6)), "C": RNG.normal(size=(1, 6))},
        "histogram = aggregate(s=[], v=token)\nlogits1 = project(inp=histogram, op=B1)\nprediction = sigmoid(logits1)",
    ),
    "an mlp of the token alone becomes a table in what reads it": (
        "m1 = mlp(token, one, op=M)\nlogits1 = project(inp=m1, op=B)\nprediction = sigmoid(logits1)",
        {**_mlp("M", [6, 1]), "B": RNG.normal(size=(4, 6))},
        "logits1 = project(inp=token, op=B1)\nprediction = sigmoid(logits1)",
    ),
    "a norm of the token alone divides the rows of what reads the token, and stays as a table for the rest": (
        "n1 = norm(token, op=G)\na1 = aggregate(s=[], v=token / n1)\nlogits1 = project(inp=a1 / n1, op=B)\nprediction = sigmoid(logits1)",
        {"G": np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "G.eps": np.array(0.1), "B": RNG.normal(size=(6, 6))},
        "t1 = table(token, op=T1)\nhistogram = aggregate(s=[], v=token)\nlogits1 = project(inp=histogram / t1, op=B1)\n"
        "prediction = sigmoid(logits1)",
    ),
    "selectors of the same two variables add up, and a key-only one joins them": (
        "s1 = select(q=token, k=pos, op=A)\ns2 = select(q=token, k=pos, op=C)\ns3 = select(k=pos, op=D)\n"
        "a1 = aggregate(s=s1+s2+s3, v=token)\nlogits1 = project(inp=a1, op=B)\nprediction = sigmoid(logits1)",
        {
            "A": RNG.normal(size=(6, 12)),
            "C": RNG.normal(size=(6, 12)),
            "D": RNG.normal(size=(1, 12)),
            "B": RNG.normal(size=(6, 6)),
        },
        "s1 = select(q=token, k=pos, op=A1)\na1 = aggregate(s=s1, v=token)\n"
        "logits1 = project(inp=a1, op=B1)\nprediction = sigmoid(logits1)",
    ),
    "an average of the constant is the constant": (
        "a1 = aggregate(s=[], v=one)\nlogits1 = project(inp=a1, op=C)\nlogits2 = project(inp=token, op=B)\n"
        "prediction = sigmoid(logits1 + logits2)",
        {"B": RNG.normal(size=(6, 6)), "C": RNG.normal(size=(1, 6))},
        "logits1 = project(inp=token, op=B1)\nprediction = sigmoid(logits1)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_program_is_shorter_and_computes_the_same(case):
    body, operators, expected = CASES[case]
    program = parse(HEADER + body, operators)
    smaller = simplify(program)
    token_ids, position_ids = RNG.integers(0, 6, (5, 8)), np.arange(8)[None] + RNG.integers(0, 5, (5, 1))
    difference = logits(smaller, token_ids, position_ids) - logits(program, token_ids, position_ids)
    assert np.abs(difference).max() < 1e-9
    printed = print_program(tidy(smaller))
    assert [line for line in printed.splitlines() if " = " in line] == expected.splitlines()


TELLING = """
s1 = select(q=pos, k=pos, op=15*(k == q - 1))
s2 = select(q=pos, k=pos, op=2*(k == q - 1))
s3 = select(q=pos, k=pos, op=15*(k == q - 2))
a1 = aggregate(s=[], v=token)
a2 = aggregate(s=s1, v=token)
a3 = aggregate(s=s1, v=pos)
a4 = aggregate(s=s2, v=token)
a5 = aggregate(s=s3, v=token)
a6 = aggregate(s=s1+s3, v=token)
a7 = aggregate(s=[], v=token)
m1 = step(a1["a"] - a1["b"])
m2 = step(a1["a"] - a2["b"])
m3 = step(a1["a"] - a1[<bos>])
m4 = step(a1[<bos>] - a1["a"])
prediction = sigmoid(0)
"""


def test_a_variable_is_called_by_what_it_is_and_by_nothing_that_it_is_not():
    renamed = tidy(parse(HEADER + TELLING))
    names = [s.name for s in renamed.statements]
    assert names == [
        "s1",
        "s2",
        "s3",
        "histogram",
        "prev_token",
        "prev_pos",
        "a1",
        "a2",
        "a3",
        "histogram_2",
        "more_a",
        "m1",
        "more_a_2",
        "m2",
        "prediction",
    ]
