"""Programs changed by hand: a line left out, or written anew."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drasp.errors import DraspError
from drasp.ir.nodes import Prediction, Project
from drasp.lang.printer import print_program, statement_text
from drasp.program import Program, load_program, parse
from drasp.run.numpy_fast import logits
from strategies import inputs, programs, small_numbers

EXAMPLE = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")


def lines(program) -> list[str]:
    return [statement_text(statement, program.header) for statement in program.statements]


@settings(max_examples=100)
@given(st.data())
def test_without_a_line_means_zero_in_its_place(data: st.DataObject) -> None:
    program = data.draw(programs(small_numbers).filter(lambda p: len(p.statements) > 1))
    removed = data.draw(st.sampled_from(program.statements[:-1]))
    tokens, positions = data.draw(inputs(program))
    size = len(program.header.predicted) if isinstance(removed, Project) else 0
    if removed.name in program.bases:
        size = program.bases[removed.name].size
    edited = Program.of(program).without(removed.name)
    with np.errstate(all="ignore"):
        expected = logits(program, tokens, positions, constants={removed.name: np.zeros(size)})
        found = edited.logits(tokens, positions)
    if np.isfinite(expected).all() and np.isfinite(found).all():
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * (1 + abs(expected).max()))
    assert parse(print_program(edited), edited.operators) == edited


def test_without_a_selector_attention_is_uniform() -> None:
    assert lines(EXAMPLE.without("s1"))[0] == "a1 = aggregate(s=[], v=token)"


def test_without_a_projection_it_is_not_added() -> None:
    assert lines(EXAMPLE.without("logits1")) == ["prediction = sigmoid(0)"]


def test_without_a_variable_that_others_read_it_is_zero_and_what_fed_it_goes() -> None:
    assert lines(EXAMPLE.without("a1"))[:3] == [
        "zero = 0",
        "a1 = aggregate(s=[], v=token / zero)",
        'm1 = [2*token["1"] - 2*a1["0"] + 1, 1]',
    ]
    assert lines(EXAMPLE.without("m1"))[0] == "m1 = [0, 0]"


@pytest.mark.parametrize(
    ("line", "message"), [("x9", "there is no line x9; there are s1, a1, m1"), ("prediction", "without its prediction")]
)
def test_a_line_that_cannot_be_left_out_is_said(line: str, message: str) -> None:
    with pytest.raises(DraspError, match=message):
        EXAMPLE.without(line)


def test_a_replaced_line_does_what_it_says() -> None:
    edited = EXAMPLE.replace("s1", "select(q=pos, k=pos, op=10*(k == q - 2))  # two back")
    assert lines(edited)[0] == "s1 = select(q=pos, k=pos, op=10*(k == q - 2))"
    assert lines(edited)[1:] == lines(EXAMPLE)[1:]
    assert edited.trace("<bos> 1 0 0").predictions[-1] == {"0", "1", "<eos>"}


@settings(max_examples=50)
@given(programs(), st.data())
def test_a_line_replaced_by_itself_is_the_same_program(program, data: st.DataObject) -> None:
    statement = data.draw(st.sampled_from(program.statements))
    text = statement_text(statement, program.header).split(" = ", 1)[1]
    assert Program.of(program).replace(statement.name, text) == program


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x9", "1", "there is no line x9"),
        ("s1", "select(q=pos, k=pos, op=(k == q))", r"program:6:\d+: a predicate in a selector needs a strength"),
        ("a1", "aggregate(s=s2, v=token)", "program:7:1: statement a1: s2 is no selector defined before it"),
        ("m1", 'step(token["2"])', 'token "2" is not in the vocabulary'),
        ("m1", "1\nm2 = 2", "the text for m1 must be one line"),
        ("m1", "", "expected a value"),
        ("logits1", "project(inp=m1, op=W)", "operator W is missing"),
        ("s1", "1", "s1"),
    ],
)
def test_a_text_that_is_no_legal_line_is_refused_as_the_parser_refuses(name: str, text: str, message: str) -> None:
    with pytest.raises(DraspError, match=message):
        EXAMPLE.replace(name, text)


def test_editing_leaves_the_program_itself_alone() -> None:
    before = print_program(EXAMPLE)
    EXAMPLE.without("a1")
    EXAMPLE.replace("m1", "[1, 1]")
    assert print_program(EXAMPLE) == before
    assert isinstance(EXAMPLE.statements[-1], Prediction)
