"""What is wrong with a text is said with file, line, column and what was expected."""

import subprocess
import sys

import numpy as np
import pytest

from drasp.errors import ParseError
from drasp.lang.parser import parse
from drasp.view.exports.python import to_python
from drasp.view.report.page import report

HEADER = 'drasp 1\nvocabulary "a" "b" <bos>\npositions 6\npredict next-token\n'
END = "\nprediction = softmax(0)\n"

LINES = [  # one line of the body, the fifth of the text; column; message
    ("x = ", 5, "expected a value, found the end of the line"),
    ("x", 2, "expected '=', found the end of the line"),
    ("x = @", 5, "expected a value, found '@'"),
    ("x = harden(token", 17, "expected an operator or ')' or ',', found the end of the line"),
    ("x = harden(token))", 18, "expected the end of the line, found ')'"),
    ("x = pair(token pos)", 16, "expected an operator or ')' or ',', found 'pos'"),
    ('x = exists(token, "a', 19, "this string does not end, or has a character that JSON does not allow"),
    ('x = exists(token, "\\q")', 19, '"\\q" is no JSON string'),
    ("12 = x", 1, "expected 'attention' or 'order' or 'pad' or a name or the end of the text, found '12'"),
    ("x = token[0..1]", 12, "expected ']', found '..'"),
    ("x = case(token, {})", 18, "expected a value, found '}'"),
    ("x = frobnicate(token)", 5, "frobnicate is no function here; there are select, aggregate"),
    ("x = token", 5, 'a formula reads single coordinates: token["a"] or token[0]'),
    ("x = 1 % 2", 7, "a formula has no remainder, only + - * /"),
    ("x = {0: 1}", 5, "expected a formula"),
    ("x = 1e999", 5, "this number is too large"),
    ("x = relu(1, 2)", 5, "relu takes 1 argument, not 2"),
    ("x = min(1)", 5, "min takes at least two arguments, not 1"),
    ("x = relu(y=1)", 10, "relu has no y=; it takes no named argument"),
    ("x = only(token, pos)", 17, "only takes 1 unnamed argument, not 2"),
    ('x = token["z"]', 11, 'token "z" is not in the vocabulary'),
    ("x = token[<sep>]", 11, "token <sep> is not in the vocabulary"),
    ("x = token[-1]", 11, "expected a coordinate: a token in quotes"),
    ("x = token[0.5]", 11, "expected a whole number"),
    ("x = token[0]", 1, "statement x: 0 is no token: a token is written as a string"),
    ("x = pos[6]", 1, "statement x: 6 is no coordinate of position[6]: they are 0..5"),
    ("s = select(q=pos, op=hard(k == q))", 5, "select needs k="),
    ("s = select(pos, k=pos, op=hard(k == q))", 12, "select takes no unnamed arguments, not 1"),
    ("s = select(q=pos, q=pos, k=pos, op=3)", 19, "q= is given twice"),
    ("s = select(q=pos, k=pos, v=3, op=3)", 26, "select has no v=; it takes q=, k=, op="),
    ("s = select(q=pos + 1, k=pos, op=3)", 14, "expected a variable: x or x / n"),
    ("s = select(q=pos, k=pos, op=(k == q))", 29, "a predicate in a selector needs a strength: 20*(...) or hard(...)"),
    ("s = select(q=pos, k=pos, op=last + k == q)", 29, "expected q or k"),
    ("s = select(q=pos, k=pos, op=-(k == q))", 30, "a predicate in a selector needs a strength"),
    ("s = select(q=pos, k=pos, op={0: {1}} - 4)", 29, "a predicate in a selector needs a strength"),
    ("s = select(q=pos, k=pos, op=3*hard(k == q))", 31, "hard(...) is a strength of its own"),
    ("s = select(q=pos, k=pos, op=3*(k == out))", 37, "expected q or k"),
    ("s = select(q=pos, k=pos, op=3*(1 == k))", 32, "expected q or k"),
    ("s = select(q=pos, k=pos, op=3*(k + k == 2))", 36, "expected the sum of q and k"),
    ("s = select(q=pos, k=pos, op=3*(k + x == 2))", 36, "expected q or k"),
    ("s = select(q=pos, k=pos, op=3*((k + q) % 3 == 3))", 47, "3 is no remainder modulo 3"),
    ("s = select(q=pos, k=pos, op=3*(k == q % 2.5))", 41, "expected a whole number"),
    ("s = select(q=pos, k=pos, op=3*(k == q % 1))", 41, "a modulus is at least 2, not 1"),
    ("s = select(q=pos, k=pos, op=3*(k == q + 1 + 1))", 43, "only one number is added"),
    ("s = select(q=pos, k=pos, op=3*(k))", 32, "expected a predicate: q or k compared with something"),
    ("s = select(q=pos, k=pos, op=3*(k in q))", 37, "expected a set: {...}"),
    ("s = select(q=pos, k=pos, op=3*(k in {1, 1}))", 37, "a set has 1 twice"),
    ("s = select(q=pos, k=pos, op=3*(k in {1: 2}))", 38, "expected a coordinate"),
    ("s = select(q=pos, k=pos, op=(k + q))", 30, "expected a difference of q or k"),
    ("s = select(q=pos, k=pos, op=(k - k))", 34, "expected a difference of q or k"),
    ("s = select(q=pos, k=pos, op=log(k))", 33, "expected a difference of q or k"),
    ("s = select(q=pos, k=pos, op=3*foo(k))", 31, "expected an operator: a predicate in parentheses"),
    ("s = select(q=pos, k=pos, op=3*W)", 31, "expected an operator: a predicate in parentheses"),
    ("s = select(q=pos, k=pos, op=last*3)", 29, "expected a number"),
    ("s = select(q=pos, k=pos, op=last/3)", 33, "an operator is a sum of primitives, each with a strength in front"),
    ("s = select(q=pos, k=pos, op={0: 1, 0: 2})", 29, "a table has 0 twice"),
    ("s = select(q=pos, k=pos, op={0: {1: 2}, 1: 3})", 44, "expected a table: {key: value, ...}"),
    ("s = select(q=pos, k=pos, op={0, 1})", 30, "expected key: value"),
    ("s = select(q=pos, k=pos, op={0: {1: x}})", 37, "expected a number"),
    ("s = select(q=pos, k=pos, op=last except {0})", 42, "expected key: value"),
    ("s = select(q=pos, k=pos, op=last except {0: last, 0: first})", 29, "except has 0 twice"),
    ("s = select(q=pos, k=pos, op={0: 3})", 1, "statement s: a table between two bases needs rows: {row: {column: number}}"),
    ("s = select(q=pos, k=token, op=2*(k == q))", 1, "statement s: tokens have no order here: the header needs an order line"),
    ("s = select(q=pos, k=pos, op=W)", 1, "statement s: operator W is missing"),
    ("s = select(q=pos, k=pos, op=V)", 1, "statement s: operator V has shape (6, 3), expected 6 x 6"),
    ("s = select(q=nothing, k=pos, op=last)", 1, "statement s: nothing is no variable defined before it"),
    ("x = aggregate(s=s, v=pos)", 1, "statement x: s is no selector defined before it"),
    ("x = aggregate(s=s-t, v=pos)", 18, "selectors are added"),
    ("x = aggregate(s=[s], v=pos)", 17, "expected a name"),
    ("x = project(inp=pos, op=(k == inp))", 26, "expected inp or out"),
    ("x = table(token, op=(out == inp))", 22, "expected inp"),
    ("x = table(token, op=last)", 1, "statement x: the operator of a table speaks of its input only"),
    ('x = table(token, op={"a": {"b": 1}})', 1, 'statement x: "b" is no column of a table: they are 0, 1, ...'),
    ("x = compare(pos, pos, op=(q == k))", 27, "expected x or y"),
    ("x = sharpen(token, 0)", 1, "statement x: the exponent must be positive, not 0"),
    ("x = sharpen(token, token)", 20, "expected a number"),
    ("x = norm(op=W)", 5, "norm needs an argument"),
    ("x = norm(token, pos, op=3*(x == y))", 1, "statement x: the norm of several inputs needs a dense operator"),
    ("x = harden(token / pos)", 1, "statement x: token is divided by pos, which has 6 coordinates, not 1"),
    ('x = case(token, {"a": 1, "a": 2})', 1, 'statement x: case has "a" twice'),
    ("x = prediction(token)", 5, "prediction is no function here"),
    ("x = softmax(0)", 1, "statement x: the prediction must be the last statement"),
    ("prediction = harden(token)", 1, "statement prediction: assigned twice"),
    ("prediction = sigmoid(0)", 14, "a program that predicts next-token ends with softmax(...)"),
    ("token = harden(token)", 1, "statement token: token is a built-in variable"),
    ("last = harden(token)", 1, "statement last: last can be no name"),
]


def error_of(text: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse(text, {"V": np.zeros((6, 3))}, "file.drasp")
    return caught.value


@pytest.mark.parametrize(("line", "column", "message"), LINES, ids=[line for line, _, _ in LINES])
def test_a_malformed_line_is_refused_at_its_column(line: str, column: int, message: str) -> None:
    error = error_of(HEADER + line + END)
    assert (error.span.line, error.span.column) == ((5, column) if line != "prediction = harden(token)" else (6, 1))
    assert error.reason.startswith(message)


HEADERS = [
    ("", 1, 1, "expected drasp 1, found the end of the text"),
    ("program 1", 1, 1, "expected drasp 1 or the end of the line, found 'program'"),
    (HEADER.replace("drasp 1", "drasp 3") + END, 1, 1, "this is format version 3; version 1 or 2 is expected"),
    (HEADER.replace('"b"', '"a"') + END, 2, 1, 'the vocabulary has "a" twice'),
    (HEADER.replace('"a" "b"', '"0".."b"') + END, 2, 12, "a range in the vocabulary runs from one whole number to a larger one"),
    (HEADER.replace('"a" "b"', '"7".."5"') + END, 2, 12, "a range in the vocabulary runs from one whole number to a larger one"),
    (HEADER.replace('"a" "b" <bos>', "") + END, 2, 12, "expected a token in quotes or a token such as <bos>, found the end of the line"),
    (HEADER.replace('"b"', "b") + END, 2, 16, "expected '..' or a token in quotes or a token such as <bos> or"),
    (HEADER.replace('"b"', '"\\ud800"') + END, 2, 1, "the vocabulary has '\\ud800', which is no valid text"),
    (HEADER.replace("positions 6", "positions 0") + END, 3, 1, "there must be at least 1 position, not 0"),
    (HEADER.replace("positions 6", "positions 6.5") + END, 3, 1, "expected a whole number"),
    (HEADER.replace("positions 6\n", "") + END, 3, 1, "expected 'outputs' or 'positions', found 'predict'"),
    (HEADER.replace("next-token", "tokens") + END, 4, 1, "predicted is next-token or next-token-set, not tokens"),
    (HEADER + 'order "a" "z"' + END, 5, 11, 'token "z" is not in the vocabulary'),
    (HEADER + 'order "a" "a"' + END, 5, 1, 'the order has "a" twice'),
    (HEADER + 'order "b".."a"' + END, 5, 7, "the range ends before it starts"),
    (HEADER.replace("positions", 'outputs "x" "x"\npositions') + END, 3, 1, 'the list of outputs has "x" twice'),
    (HEADER + 'pad "z"' + END, 5, 5, 'token "z" is not in the vocabulary'),
    (HEADER + "attention causal" + END, 5, 1, "attention is bidirectional, not causal, or is not mentioned"),
    (HEADER, 4, 1, "the last statement must be the prediction"),
    (HEADER + "x = harden(token)\n# the end", 5, 1, "the last statement must be the prediction"),
    (HEADER + "prediction = softmax(0)\nx = harden(token)\n", 6, 1, "the last statement must be the prediction"),
    (HEADER + "x = harden(token)\nx = harden(pos)" + END, 6, 1, "statement x: assigned twice"),
    (HEADER + "x = project(op=3)\ny = harden(x)" + END, 6, 1, "statement y: x is a projection, which only the prediction reads"),
    (HEADER + "x = select(k=pos, op=last)\ny = harden(x)" + END, 6, 1, "statement y: x is a selector, which only aggregate(s=...) reads"),
    (HEADER + "x = harden(token)\nprediction = softmax(x)\n", 6, 1, "statement prediction: x is no projection defined before it"),
    (HEADER + "x = " + "(" * 5000 + "1" + ")" * 5000 + END, 5, 1, "an expression is nested too deeply"),
    (HEADER + "x = 1" + " + 1" * 5000 + END, 5, 5, "an expression is nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), HEADERS, ids=[f"{i}: {case[3]}" for i, case in enumerate(HEADERS)])
def test_a_malformed_text_is_refused_at_its_place(text: str, line: int, column: int, message: str) -> None:
    error = error_of(text)
    assert (error.span.line, error.span.column) == (line, column)
    assert error.reason.startswith(message)


def test_the_message_gives_the_file_the_line_and_a_caret() -> None:
    message = str(error_of(HEADER + "x = harden(token,)\r\n" + END))
    assert message == "file.drasp:5:18: expected a value, found ')'\n    x = harden(token,)\n                     ^"


def test_comments_empty_lines_and_line_ends_are_free() -> None:
    plain = HEADER + "x = harden(token)\nprediction = softmax(0)\n"
    free = "# a\n\n  # b\n" + plain.replace("\n", "   # c # d\r\n\r\n").replace("= ", "=\t ").rstrip()
    assert parse(free) == parse(plain)


def test_a_hash_in_a_string_starts_no_comment() -> None:
    text = 'drasp 1\nvocabulary "#" "a # b"\npositions 1\npredict next-token\nprediction = softmax(0)'
    assert parse(text).header.vocabulary == ("#", "a # b")


def test_a_range_in_the_vocabulary_runs_over_numbers_and_one_in_the_order_over_the_vocabulary() -> None:
    text = 'drasp 1\nvocabulary "9".."12" <bos> "a"\npositions 1\npredict next-token\norder "10".."12" "9"\nprediction = softmax(0)'
    header = parse(text).header
    assert header.vocabulary == ("9", "10", "11", "12", "<bos>", "a")
    assert header.order == ("10", "11", "12", "9")


def test_tensors_that_no_statement_uses_are_left_out() -> None:
    assert not parse(HEADER + END, {"V": np.zeros((6, 3))}).operators


def test_importing_the_library_loads_no_parser_generator() -> None:
    code = "import sys, drasp.lang.folder; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "line",
    ["x" * 100_000, f'x = "{"y" * 100_000}', f'x = token["{"y" * 100_000}"]', f"x = relu(1){' ' * 50_000}${' ' * 50_000}"],
    ids=["a word", "an open string", "a token", "far to the right"],
)
def test_a_message_is_short_however_long_the_line(line: str) -> None:
    error = error_of(HEADER + line + END)
    assert len(str(error)) < 1_000
    place, excerpt, caret = str(error).split("\n")[-3:]
    assert len(excerpt) < 130
    assert place.startswith("file.drasp:5:")
    assert caret.lstrip() == "^"


def test_the_caret_stands_below_its_place_in_an_excerpt() -> None:
    error = error_of(HEADER + f"x = {'1 + ' * 100}$ + {'1 + ' * 100}1" + END)
    _, excerpt, caret = str(error).split("\n")
    assert excerpt[caret.index("^")] == "$"


@pytest.mark.parametrize(
    ("kind", "levels"), [("relu({})", 140), ("-({})", 70), ("1 - ({})", 70), ("({} + 1)", 70), ("{} + 1", 140)], ids=lambda each: str(each)
)
def test_what_is_not_nested_too_deeply_is_compared_exported_and_reported(kind: str, levels: int) -> None:
    def nested(levels: int) -> str:
        text = 'token["a"]'
        for _ in range(levels):
            text = kind.format(text)
        return HEADER + f'x = {text}\ny = project(inp=x, op={{0: {{"a": 1}}}})\nprediction = softmax(y)\n'

    program = parse(nested(levels))
    assert program == parse(nested(levels))
    compile(to_python(program), "program.py", "exec")
    assert report(program, None, "x")
    assert "nested too deeply: 150 levels at the most" in error_of(nested(200)).reason


def test_as_many_as_can_be_nested_of_not_can_be_exported() -> None:
    text = HEADER + f"y = project(inp=token, op=({'not ' * 140}(inp == out)))\nprediction = softmax(y)\n"
    compile(to_python(parse(text)), "program.py", "exec")


def test_a_byte_order_mark_before_a_program_is_read_over() -> None:
    assert parse("\ufeff" + HEADER + "prediction = softmax(0)\n") == parse(HEADER + "prediction = softmax(0)\n")
