"""Programs said more shortly: every line, term, entry, number and digit that may go, numbers that are fitted together, and the pass."""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drasp.core.budget import Budget, OutOfBudget
from drasp.ir.nodes import Project, Select, Statement
from drasp.ir.operators import Dense
from drasp.ir.program import Program
from drasp.lang.edit import replaced
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.learn.adam import Schedule
from drasp.learn.strengths import fit_strengths
from drasp.learn.trial import Trial
from drasp.naming.tuning import NamesTuning
from drasp.passes.shorten import shortened
from drasp.rewrite.numbers import numbers_of, with_numbers
from drasp.rewrite.shorter import Shorter, with_fewer_digits, without_a_part
from driving import drive, measuring
from planted import Letters, ProgramAsModel, oracle_of
from program_files import lines
from strategies import programs

HEADER = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 24\npredict next-token-set\n'
BUDGET = Budget.of_seconds()

PROGRAM = """s1 = select(q=pos, k=pos, op=12.5*(k == q - 1) + 0.3*last)
a1 = aggregate(s=s1, v=token)
logits1 = project(inp=a1, op={"a": {"a": 3, "b": -1}} - 4)
logits2 = project(inp=token, op=2*(out == inp) except {"b": 1})
prediction = sigmoid(logits1 + logits2)
"""
FORMULAS = """a1 = aggregate(s=[], v=token)
m1 = [a1["a"] - 2*a1["b"] - 1.5, 7*a1[<bos>]]
logits1 = project(inp=m1, op={0: {"a": 1}, 1: {"b": 1}})
prediction = sigmoid(logits1)
"""
SETS = """s1 = select(k=token, op=3*(k in {"a", <bos>}))
a1 = aggregate(s=s1, v=token)
logits1 = project(inp=a1, op={"a": {"a", "b"}, "b": {"b"}})
prediction = sigmoid(logits1)
"""


def read(body: str) -> Program:
    return parse(HEADER + body)


def changed(body: str, shorter: Callable[[Program], Shorter]) -> list[list[str]]:
    """For each shorter program the lines that are new; what is gone with them is known from these."""
    before = lines(read(body))
    return [[line for line in lines(program) if line not in before] for _, program in shorter(read(body))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            PROGRAM,
            [
                ["a1 = aggregate(s=[], v=token)"],
                ["prediction = sigmoid(logits2)"],
                ["prediction = sigmoid(logits1)"],
                ["s1 = select(q=pos, k=pos, op=0.3*last)"],
                ["s1 = select(q=pos, k=pos, op=12.5*(k == q - 1))"],
                ["logits1 = project(inp=a1, op=-4)"],
                ['logits1 = project(inp=a1, op={"a": {"a": 3, "b": -1}})'],
                ['logits1 = project(inp=a1, op={"a": {"b": -1}} - 4)'],
                ['logits1 = project(inp=a1, op={"a": {"a": 3}} - 4)'],
                ["logits2 = project(inp=token, op=2*(out == inp))"],
                ['logits2 = project(inp=token, op=0 except {"b": 1})'],
                ['logits2 = project(inp=token, op=2*(out == inp) except {"b": 0})'],
            ],
        ),
        (
            FORMULAS,
            [
                ['m1 = [-(2*a1["b"]) - 1.5, 7*a1[<bos>]]'],
                ['m1 = [a1["a"] - 1.5, 7*a1[<bos>]]'],
                ['m1 = [a1["a"] - 2*a1["b"], 7*a1[<bos>]]'],
                ["logits1 = project(inp=m1, op=0)"],
                ['logits1 = project(inp=m1, op={1: {"b": 1}})'],
                ['logits1 = project(inp=m1, op={0: {"a": 1}})'],
            ],
        ),
        (
            SETS,
            [
                ["a1 = aggregate(s=[], v=token)"],
                ["s1 = select(k=token, op=0)"],
                ["s1 = select(k=token, op=3*(k in {<bos>}))"],
                ['s1 = select(k=token, op=3*(k in {"a"}))'],
                ["logits1 = project(inp=a1, op=0)"],
                ['logits1 = project(inp=a1, op={"b": {"b"}})'],
                ['logits1 = project(inp=a1, op={"a": {"b"}, "b": {"b"}})'],
                ['logits1 = project(inp=a1, op={"a": {"a"}, "b": {"b"}})'],
                ['logits1 = project(inp=a1, op={"a": {"a", "b"}})'],
            ],
        ),
    ],
)
def test_every_part_may_go(body, expected):
    assert sorted(changed(body, without_a_part)) == sorted(expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PROGRAM, ["s1 = select(q=pos, k=pos, op=10*(k == q - 1) + 0.3*last)", "s1 = select(q=pos, k=pos, op=12*(k == q - 1) + 0.3*last)"]),
        (
            FORMULAS,
            [
                'm1 = [a1["a"] - a1["b"] - 1.5, 7*a1[<bos>]]',
                'm1 = [a1["a"] - 2*a1["b"] - 2, 7*a1[<bos>]]',
                'm1 = [a1["a"] - 2*a1["b"] - 1.5, a1[<bos>]]',
            ],
        ),
        (SETS, []),
    ],
)
def test_every_number_may_become_plainer(body, expected):
    assert [line for (line,) in changed(body, with_fewer_digits)] == expected


@pytest.mark.parametrize("value", ["1e-05", "2000000", "0.0001", "100"])
def test_a_number_of_one_digit_is_as_plain_as_can_be(value):
    assert changed(f"logits1 = project(inp=token, op={value}*(out == inp))\nprediction = sigmoid(logits1)\n", with_fewer_digits) == []


def said(what: object) -> int:
    """How much is said: whatever stands in a statement that is not 0."""
    if is_dataclass(what):
        return sum(said(getattr(what, part.name)) for part in fields(what))
    return sum(map(said, what)) if isinstance(what, tuple) else int(what != 0)


def digits(program: Program) -> tuple[int, int]:
    """The digits of its text that are not 0, and all that it takes."""
    text = "\n".join(lines(program))
    return len(re.findall("[1-9]", text)), len(text)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_all_that_is_made_of_any_program_is_legal_and_less(data):
    program = data.draw(programs(st.integers(-40, 40).map(lambda n: n / 8)))
    for shorter, length in ((without_a_part, lambda other: said(other.statements)), (with_fewer_digits, digits)):
        for _, other in islice(shorter(program), 8):
            assert parse(print_program(other), other.operators) == other
            assert length(other) < length(program)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_numbers_of_an_operator_are_taken_out_and_put_back(data):
    program = data.draw(programs(st.integers(-40, 40).map(lambda n: n / 8)))
    for line in program.statements:
        if isinstance(line, Select | Project) and not isinstance(line.op, Dense):
            values = numbers_of(line.op)
            other = [2 * value + 0.375 for value in values]  # none is 0, which would go
            assert numbers_of(with_numbers(line.op, other)) == other
            same = with_line(program, replace(line, op=with_numbers(line.op, values)))
            np.testing.assert_allclose(same.matrix(line.name), program.matrix(line.name), atol=1e-9)


def with_line(program: Program, line: Statement) -> Program:
    return program.with_statements(line if s.name == line.name else s for s in program.statements)


@pytest.mark.parametrize("op", ['{"a": {"b": 2}} - 3*(out == inp) + 1', "2*(out == inp) - 1 except {<bos>: 3*(out == <eos>) + 0.5}"])
def test_a_matrix_is_the_sum_of_what_its_numbers_make_alone(op):
    program = read(f"logits1 = project(inp=token, op={op})\nprediction = sigmoid(logits1)\n")
    line = program.by_name["logits1"]
    values = numbers_of(line.op)
    alone = [[value if i == j else 0.0 for j in range(len(values))] for i, value in enumerate(values)]
    parts = [with_line(program, replace(line, op=with_numbers(line.op, only))).matrix("logits1") for only in alone]
    np.testing.assert_allclose(sum(parts), program.matrix("logits1"))


FITTED = """s1 = select(q=pos, k=pos, op=6*(k == q - 1))
a1 = aggregate(s=s1, v=token)
logits1 = project(inp=a1, op={"a": {"a": 8, "b": -8}, "b": {"a": -8, "b": 8}} - 1)
logits2 = project(inp=token, op=3*(out == inp) except {<bos>: 2})
prediction = sigmoid(logits1 + logits2)
"""


def oracle_for(program: Program):
    return oracle_of(ProgramAsModel(program), Letters(program.header.predict))


def test_disturbed_numbers_are_fitted_together_until_all_matches():
    program = read(FITTED)
    oracle = oracle_for(program)
    disturbed = replaced(
        replaced(program, "s1", "select(q=pos, k=pos, op=2*(k == q - 1))"),
        "logits2",
        "project(inp=token, op=9*(out == inp) except {<bos>: -1})",
    )
    match = measuring(oracle, BUDGET)
    assert match(Trial(disturbed, "")) < 0.5
    how = replace(NamesTuning().fit, rate=0.1)
    fitted = fit_strengths(disturbed, oracle, Schedule(how, how.rate, 0), 3, BUDGET)
    assert match(Trial(fitted, "")) == 1
    assert [s.name for s in fitted.statements] == [s.name for s in program.statements]
    for before, after in zip(disturbed.statements[:1], fitted.statements[:1], strict=True):
        assert [term.primitive for term in after.op.terms] == [term.primitive for term in before.op.terms]
        assert all(float(f"{value:.3g}") == value for value in numbers_of(after.op))


def test_a_fit_of_strengths_stops_in_the_middle():
    program = read(FITTED)
    how = NamesTuning().fit
    budget = Budget.of_work(200)
    with pytest.raises(OutOfBudget):
        fit_strengths(program, oracle_for(program), Schedule(how, how.rate, 0), 3, budget)
    assert budget.spent() < 300


NEEDLESS = """s1 = select(q=pos, k=pos, op=11.7*(k == q - 1))
s2 = select(k=pos, op=0.001*last)
a1 = aggregate(s=s1+s2, v=token)
logits1 = project(inp=a1, op=7.9*(out == inp) - 4.05)
logits2 = project(inp=token, op=0.011*(out == inp))
prediction = sigmoid(logits1 + logits2)
"""


def test_nothing_is_left_that_can_go():
    program = read(NEEDLESS)
    oracle = oracle_for(program)
    match = measuring(oracle, BUDGET)
    result, trials, found = drive(shortened(program, 1.0), match)
    assert [s.name for s in result.statements] == ["s1", "a1", "logits1", "prediction"]
    assert found[-1] is result
    assert all(match(Trial(each, "", 1.0)) == 1 for each in found)
    assert all(trial.at_least == 1 for trial in trials)
    for shorter in (without_a_part, with_fewer_digits):
        assert all(match(Trial(other, "", 1.0)) < 1 for _, other in shorter(result))
    assert not re.search(r"\d\.\d", print_program(result))


def test_what_else_is_to_be_kept_is_kept():
    program = read(NEEDLESS)
    result, _, _ = drive(shortened(program, 1.0, lambda other: "logits2" in other.by_name), measuring(oracle_for(program), BUDGET))
    assert [s.name for s in result.statements] == ["s1", "a1", "logits1", "logits2", "prediction"]


def test_what_failed_is_not_tried_again():
    program = read(PROGRAM)
    _, trials, found = drive(shortened(program, 1.0), lambda trial: 0.0)
    assert found == []
    assert len(trials) == len([*without_a_part(program), *with_fewer_digits(program)])
