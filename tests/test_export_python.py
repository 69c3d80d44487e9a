"""The exported Python file: what it predicts, run without drasp, against the interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drasp.errors import DraspError
from drasp.ir.nodes import TOKEN, Aggregate, Mlp, Norm, Prediction, Project, Read, Select
from drasp.ir.operators import Dense, Sum
from drasp.ir.program import Header, Program
from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.run.numpy_fast import logits
from drasp.view.exports import python
from drasp.view.exports.python import to_python
from small_models import header, random_tokens, random_transformer
from strategies import inputs, programs, small_numbers

EXAMPLE = Path(__file__).parent.parent / "examples" / "tomita4.drasp"

HEADER = 'drasp 1\nvocabulary "a" "b" "0".."3" "10" <bos>\npositions 12\npredict next-token-set\norder "0".."3" "10"\n'

STATEMENTS = {
    "shift": "s = select(q=pos, k=pos, op=20*(k == q - 1))\nx = aggregate(s=s, v=token)",
    "override": "s = select(q=token, k=token, op=hard(k == q) except {<bos>: hard(k == <bos>)})\nx = aggregate(s=s, v=token)",
    "two selectors": """
        s = select(k=pos, op=last)
        t = select(q=pos, k=pos, op=3*(k < q) - 1.5*log(q - k))
        x = aggregate(s=s+t, v=token)""",
    "order": "s = select(q=token, k=token, op=4*(k == q - 1) + 2*(k % 2 != q % 2))\nx = aggregate(s=s, v=token)",
    "nearest": "s = select(q=token, k=token, op=5*nearest(k > q))\nx = aggregate(s=s, v=token)",
    "graded": "s = select(q=pos, k=pos, op=-1.35*(q - k) + 2*first)\nx = aggregate(s=s, v=token)",
    "sets": """
        s = select(k=token, op=7*(k in {"a", "1".."3"} and not (k == "2")) + 3*(k == <bos> or k == "b"))
        x = aggregate(s=s, v=token)""",
    "remainders": "s = select(q=pos, k=pos, op=6*(k % 4 in {1, 3}) + 6*((q + 1) % 3 == k % 3))\nx = aggregate(s=s, v=token)",
    "uniform": "x = aggregate(s=[], v=token)",
    "entries": 's = select(k=token, op={"a": 1.5, "b": -2})\nx = aggregate(s=s, v=token)',
    "relation": 's = select(q=token, k=token, op=8*{<bos>: {"a"}, "a": {"a", "0".."2"}} - 4)\nx = aggregate(s=s, v=token)',
    "harden": "y = aggregate(s=[], v=token)\nx = harden(y)",
    "sharpen": "y = aggregate(s=[], v=token)\nx = sharpen(y, 2.5)",
    "norm": "y = aggregate(s=[], v=token)\nn = norm(y, op=(x == y))\nx = aggregate(s=[], v=y / n)",
    "table": """
        y = table(token, op={"a": {0: 1, 2: -3}, "b": {1: 2}})
        z = project(inp=y, op={0: {"a": 1}, 1: {"b": 2}})
        x = aggregate(s=[], v=token)""",
    "case": """
        y = aggregate(s=[], v=token)
        z = case(token, {"a": y["a"] - 0.5, <bos>: 1})
        x = aggregate(s=[], v=token / z)""",
    "pair": """
        y = pair(token, pos)
        z = compare(y, y, op=2*(x == ("a", 1)) + (y in {("b", 2), ("a", 3)}))
        x = aggregate(s=[], v=token / z)""",
    "compare": "y = compare(pos, pos, op=(x % 2 == y % 2))\nx = aggregate(s=[], v=token / y)",
    "formulas": """
        y = aggregate(s=[], v=token)
        n = norm(y, op=(x == y))
        z = [relu(y["a"] - 1/4), gelu(y["b"]), step(y["a"] - y["b"]), sign(y["a"]), min(y["a"], y["b"], 1), max(1, y[<bos>]), 7]
        w = [-(y["a"] + 1)*2, exists(y, "a"), only(y), balance(y, "a", "b"), (token / n)["a"], 1 - (y["a"] - y["b"]) / y["0"]]
        p = project(inp=z, op={0: {"a": 1}, 1: {"b": 1}, 2: {"0": 1}, 3: {"1": 1}, 4: {"2": 1}, 5: {"3": -1}, 6: {"10": 1}})
        r = project(inp=w, op={0: {"a": 1}, 1: {"b": 1}, 2: {"0": 1}, 3: {"1": 1}, 4: {"2": 1}, 5: {"3": -1}})
        x = aggregate(s=[], v=token)""",
    "words of Python": """
        lambda = select(q=pos, k=pos, op=9*(k == q - 1))
        len = aggregate(s=lambda, v=token)
        np = harden(len)
        x = aggregate(s=[], v=np)""",
}

RUN = """
import json, runpy, sys
sys.modules["drasp"] = None  # importing it fails
file = runpy.run_path(sys.argv[1])
found = [file["predict"](tokens) for tokens in json.load(sys.stdin)]
print(json.dumps([[p if isinstance(p, str) else sorted(p) for p in row] for row in found]))
"""


def exported(program: Program) -> dict[str, object]:
    """The names that the exported file defines."""
    space: dict[str, object] = {"__name__": "exported"}
    exec(compile(to_python(program), "exported.py", "exec"), space)
    return space


def assert_the_same_where_drasp_is_not(program: Program, folder: Path) -> None:
    (folder / "program.py").write_text(to_python(program), encoding="utf-8")
    vocabulary = program.header.vocabulary
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, len(vocabulary), n) for n in range(1, min(program.header.positions, 12) + 1)]
    asked = json.dumps([[vocabulary[i] for i in ids] for ids in sequences])
    command = [sys.executable, "-c", RUN, str(folder / "program.py")]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for ids, found in zip(sequences, json.loads(done.stdout), strict=True):
        rows = logits(program, ids[None])[0]
        if program.header.predict == "next-token":
            assert found == [vocabulary[i] for i in rows.argmax(-1)]
        else:
            assert found == [sorted(vocabulary[i] for i in np.flatnonzero(row > 0)) for row in rows]


@settings(max_examples=80)
@given(st.data())
def test_a_random_program_gives_the_same_logits_in_python(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers))
    tokens, positions = data.draw(inputs(program))
    run = exported(program)["logits"]
    with np.errstate(all="ignore"):
        expected = logits(program, tokens, positions)
        found = np.array([run(*row) for row in zip(tokens, positions, strict=True)])  # type: ignore[operator]
    if np.isfinite(expected).all():
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * (1 + abs(expected).max()))


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_kind_of_statement_runs_without_drasp(name: str, tmp_path: Path) -> None:
    body = "\n".join(line.strip() for line in STATEMENTS[name].strip().splitlines())
    projections = [line.split()[0] for line in body.splitlines() if "project(" in line]
    end = f"l = project(inp=x, op=3*(out == inp) - 1)\nprediction = sigmoid({' + '.join([*projections, 'l'])})\n"
    assert_the_same_where_drasp_is_not(parse(f"{HEADER}{body}\n{end}"), tmp_path)


def test_the_example_runs_without_drasp(tmp_path: Path) -> None:
    assert_the_same_where_drasp_is_not(load_program(EXAMPLE), tmp_path)


def test_a_symbolic_operator_is_written_as_a_predicate() -> None:
    text = to_python(load_program(EXAMPLE))
    assert "s1 = select(pos, pos, lambda q, k: 10 * (k == q - 1))" in text
    assert "# s1 = select(q=pos, k=pos, op=10*(k == q - 1))" in text
    assert "base64" not in text


def test_a_whole_lifted_model_runs_without_drasp(tmp_path: Path) -> None:
    from drasp.rewrite.lift import lift

    model = random_transformer(1, 2, 0)
    program = lift(model, header(model))
    assert any(isinstance(s, Mlp) for s in program.statements)
    assert any(isinstance(s, Norm) for s in program.statements)
    tokens, positions = random_tokens(model, 0)
    run = exported(program)["logits"]
    for ids, places in zip(tokens, positions, strict=True):
        np.testing.assert_allclose(run(ids, places), logits(program, ids[None], places[None])[0], atol=1e-9)  # type: ignore[operator]
    assert_the_same_where_drasp_is_not(program, tmp_path)
    assert "They are opaque" in to_python(program)


def test_a_program_too_large_for_a_text_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "EMBEDDED_AT_MOST", 35)
    program = Program(
        Header(("a", "b", "c", "d", "e", "<bos>"), 9, "next-token"),
        (Project("l", TOKEN, Dense("B")), Prediction(("l",))),
        {"B": np.ones((6, 6))},
    )
    with pytest.raises(DraspError, match="have 36 numbers, and a Python file holds them as text: at most 35 are"):
        to_python(program)


def test_hostile_tokens_are_text(tmp_path: Path) -> None:
    hostile = ('"""', "\\", "'''", "\n", "\r", "\x00", "\u2028", "<script>", "{0}", "# x", "\ufeff", "é😀", "HARD", "a" * 200)
    select = Select("s", TOKEN, TOKEN, Dense("W"))
    statements = (select, Aggregate("x", ("s",), TOKEN), Project("l", Read("x"), Dense("W")), Prediction(("l",)))
    rng = np.random.default_rng(0)
    program = Program(Header(hostile, 20, "next-token"), statements, {"W": rng.normal(size=(len(hostile),) * 2)})
    assert_the_same_where_drasp_is_not(program, tmp_path)


def test_ids_that_are_no_ids_are_refused() -> None:
    program = Program(Header(("a", "b"), 3, "next-token"), (Project("l", TOKEN, Sum()), Prediction(("l",))))
    with pytest.raises(ValueError, match=r"ids must lie in 0 to 1: \[0, 2\]"):
        exported(program)["logits"]([0, 2])  # type: ignore[operator]


def test_tokens_that_are_numbers_in_a_row_are_a_range() -> None:
    tokens = ("07", "8", "9", "10", "11", "12", "14", "15", "x", "0", "1", "2", "3", "4")
    program = Program(Header(tokens, 3, "next-token"), (Project("l", TOKEN, Sum()), Prediction(("l",))))
    assert exported(program)["VOCABULARY"] == list(tokens)
    assert '"07", *map(str, range(8, 13)), "14", "15", "x", *map(str, range(0, 5)),' in to_python(program)
