"""A program printed and read back is the same program."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drasp.errors import ParseError
from drasp.ir.nodes import Prediction, Project, Read, Select
from drasp.ir.operators import Sum
from drasp.ir.program import Header, Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from strategies import programs


@settings(max_examples=100)
@given(programs())
def test_parsing_what_is_printed_gives_the_same_program(program: Program) -> None:
    text = print_program(program)
    assert parse(text, program.operators) == program
    assert print_program(parse(text, program.operators)) == text


@pytest.mark.parametrize(
    ("vocabulary", "order", "lines"),
    [
        (("0", "1", "2", "<bos>"), ("0", "1", "2"), ['vocabulary "0".."2" <bos>', 'order "0".."2"']),
        (("0", "1", "a"), ("a", "0", "1"), ['vocabulary "0" "1" "a"', 'order "a" "0" "1"']),
        (("2", "1", "0"), ("0", "1", "2"), ['vocabulary "2" "1" "0"', 'order "0" "1" "2"']),
        (("a", "<x>", "b", "c"), ("a", "<x>", "b", "c"), ['vocabulary "a" <x> "b" "c"', 'order "a".."c"']),
        (("999998", "999999", "1000000", "1000001"), None, ['vocabulary "999998" "999999" "1000000" "1000001"']),
        (("01", "02", "03"), None, ['vocabulary "01" "02" "03"']),
        (("9", "10", "11", "12", "20"), None, ['vocabulary "9".."12" "20"']),
    ],
)
def test_runs_of_tokens_are_printed_as_ranges(vocabulary: tuple[str, ...], order: tuple[str, ...] | None, lines: list[str]) -> None:
    program = Program(Header(vocabulary, 3, "next-token", order), (Prediction(()),))
    text = print_program(program)
    assert set(lines) <= set(text.splitlines())
    assert parse(text) == program


def test_what_reads_one_is_printed_short() -> None:
    statements = (Select("s", Read("one"), Read("pos"), Sum((), 2)), Project("l", Read("one"), Sum((), 3)), Prediction(("l",)))
    program = Program(Header(("a",), 3, "next-token"), statements)
    text = print_program(program)
    assert text.splitlines()[-3:] == ["s = select(k=pos, op=2)", "l = project(op=3)", "prediction = softmax(l)"]
    assert parse(text) == program
    divided = Program(program.header, (Select("s", Read("one", "one"), Read("pos"), Sum((), 2)), Prediction(())))
    assert parse(print_program(divided)) == divided


def test_the_program_of_the_language_reference_is_printed_as_it_stands() -> None:
    text = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

s1 = select(q=pos, k=pos, op=hard(k == q - 1))          # attend to the previous position
a1 = aggregate(s=s1, v=token)                           # the token there
a2 = aggregate(s=[], v=token)                           # share of each token so far
m1 = step(a2["a"] - a2["b"])                            # more a than b?
logits1 = project(inp=a1, op=8*(out == inp) - 4)
logits2 = project(inp=m1, op={0: {"b": 9, <eos>: -9}})
logits3 = project(inp=one, op={"a": 2, <eos>: 1})
prediction = sigmoid(logits1 + logits2 + logits3)
"""
    printed = print_program(parse(text))
    assert printed == "\n".join(line.split("#")[0].rstrip() for line in text.split("\n")).replace("inp=one, ", "")


@settings(max_examples=100)
@given(programs(), st.data())
def test_a_damaged_text_is_a_program_or_a_parse_error(program: Program, data: st.DataObject) -> None:
    text = print_program(program)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 4)))
    text = text[:start] + data.draw(st.text(st.sampled_from('ab019 "<>{}()[]=+-*/%.,:#\n\\'), max_size=4)) + text[end:]
    with contextlib.suppress(ParseError):
        parse(text, program.operators)
