"""A caption says what its statement does: read as English by the small reader below, it gives the same matrix and the same numbers."""

import re
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drasp.ir.activations import gelu
from drasp.ir.basis import Basis
from drasp.ir.nodes import Prediction, Read, Select
from drasp.ir.operators import Sum, Symbolic, Term
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.primitive import Names, Primitive
from drasp.ir.program import Header, Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.naming.families import families
from drasp.naming.tuning import OperatorTuning
from drasp.run.numpy_fast import evaluate
from drasp.view.captions import WIDEST, captions, detail
from strategies import programs, symbolic_operators
from test_lang_operators import PRIMITIVES

# The reader: what a caption claims of a pair of positions q and k.

NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
ITEM = r"\d+(?: to \d+)?"
ITEMS = rf"{ITEM}(?:, {ITEM})*(?: or {ITEM})?"
PLACE = r"the (?:query|key) position(?: (?:plus|minus) \d+)?(?: modulo \d+)?"
VERBS = {"is at or before": "<=", "is at or after": ">=", "is before": "<", "is after": ">", "is not": "!=", "is": "=="}


def place(words: str) -> str:
    """`the key position plus 1 modulo 3` is `((k + 1) % 3)`."""
    found = re.fullmatch(r"the (query|key) position(?: (plus|minus) (\d+))?(?: modulo (\d+))?", words)
    assert found, words
    side, sign, shift, modulus = found.groups()
    value = f"({side[0]} {'-' if sign == 'minus' else '+'} {shift or 0})"
    return f"({value} % {modulus})" if modulus else value


def items(words: str) -> str:
    """`1, 2 or 5 to 7` is `{1, 2, 5, 6, 7}`."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", words):
        found |= set(range(int(first), int(last or first) + 1))
    return repr(found)


def clause(words: str) -> str:
    """What a predicate claims, as a Python expression."""

    def compared(match: re.Match[str]) -> str:
        left, verb, right = match.groups()
        if right.startswith("the"):
            return f"({place(left)} {VERBS[verb]} {place(right)})"
        one = re.fullmatch(r"\d+", right)
        assert one or verb == "is"
        return f"({place(left)} {VERBS[verb]} {right})" if one else f"({place(left)} in {items(right)})"

    def added(match: re.Match[str]) -> str:
        return f"((k + q) % {match[1] or 10**9} == {match[2]})"

    words = re.sub(r"the key position plus the query position(?: modulo (\d+))? is (\d+)", added, words)
    return re.sub(rf"({PLACE}) ({'|'.join(VERBS)}) ({PLACE}|{ITEMS})", compared, words)


def preference(words: str) -> str:
    """What `for the previous position` or `where ...` claims."""
    if words.startswith("where "):
        return f"({clause(words.removeprefix('where '))})"
    named = {"for the same position": 0, "for the next position": 1, "for the previous position": -1}
    if words in named:
        return f"(k == q + {named[words]})"
    if shifted := re.fullmatch(r"for the position (\d+) (before|after)", words):
        return f"(k == q {'-' if shifted[2] == 'before' else '+'} {shifted[1]})"
    several = re.fullmatch(rf"for position ({ITEMS})", words)
    assert several, words
    return f"(k in {items(several[1])})"


def quantity(words: str, size: int) -> str:
    """What a graded primitive or a table is."""
    simple = {
        "the place of the key position": "k",
        "minus the place of the key position": "-k",
        "how far the key position is before the query position": "(q - k)",
        "how far the key position is after the query position": "(k - q)",
    }
    if words in simple:
        return simple[words]
    if words.startswith("the logarithm of "):
        return f"logarithm({simple[words.removeprefix('the logarithm of ')]})"
    if words.startswith("how near the key position is to the query position "):
        near = preference(words.removeprefix("how near the key position is to the query position "))
        return f"(-abs(q - k) if {near} else -{size})"
    parts = []
    for row in re.findall(r"\(([^()]*)\)", words) or [words]:
        entries, _, condition = row.partition(" if ")
        here = clause(condition) if condition else "True"
        parts += [f"({value} * (k == {label}) if {here} else 0)" for value, label in re.findall(rf"({NUMBER}) for (\d+)", entries)]
    return "(" + " + ".join(parts) + ")"


def part(words: str, size: int) -> str:
    """What one term adds."""
    if constant := re.fullmatch(rf"({NUMBER}) always", words):
        return constant[1]
    if scaled := re.fullmatch(rf"({NUMBER}) times (.*)", words):
        return f"{scaled[1]} * {quantity(scaled[2], size)}"
    if predicate := re.fullmatch(rf"({NUMBER}) ((?:for the|for position|where) .*)", words):
        return f"{predicate[1]} * {preference(predicate[2])}"
    return quantity(words, size)


def total(words: str, size: int) -> str:
    base, *others = words.split("; but if ")
    value = " + ".join(part(one, size) for one in base.split("; "))
    for other in others:
        condition, _, said = other.partition(": ")
        value = f"({' + '.join(part(one, size) for one in said.split('; '))}) if {clause(condition)} else ({value})"
    return value


def claimed(words: str, size: int) -> np.ndarray:
    """The matrix that the caption of `select(q=pos, k=pos, ...)` claims."""
    if words.startswith("attend by "):
        said = total(words.removeprefix("attend by "), size)
    else:
        found = re.fullmatch(rf"attend (.*?)(?: \((?:({NUMBER}))?(?:; )?(?:({NUMBER}) always)?\))?", words)
        assert found, words
        what, strength, constant = found.groups()
        if what.startswith("to the nearest key "):
            value = quantity(f"how near the key position is to the query position {what.removeprefix('to the nearest key ')}", size)
        else:
            value = preference(re.sub("^to ", "for ", what))
        said = f"{strength or 10000} * {value} + {constant or 0}"
    code = compile(said, words, "eval")
    known = {"logarithm": lambda x: log(x) if x > 0 else 0}
    return np.array([[eval(code, known, {"q": q, "k": k}) for k in range(size)] for q in range(size)], dtype=np.float64)


def selecting(op: Symbolic, size: int) -> tuple[Program, str]:
    select = Select("s", Read("pos"), Read("pos"), op)
    program = Program(Header(("a",), size, "next-token"), (select, Prediction(())))
    return program, detail(program, select)


def assert_caption_is_true(op: Symbolic, size: int) -> None:
    program, words = selecting(op, size)
    np.testing.assert_allclose(claimed(words, size), program.matrix("s"), rtol=1e-9, atol=1e-9, err_msg=words)


@pytest.mark.parametrize("strength", [1.0, -2.5, 10000.0])
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("primitive", PRIMITIVES, ids=repr)
def test_the_caption_of_a_primitive_claims_its_matrix(primitive: Primitive, size: int, strength: float) -> None:
    for constant in (0.0, -4.0):
        assert_caption_is_true(Sum((Term(strength, primitive),), constant), size)


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(1, 7))
def test_the_caption_of_any_operator_claims_its_matrix(data: st.DataObject, size: int) -> None:
    basis = Basis("position", size)
    assert_caption_is_true(data.draw(symbolic_operators(Header(("a",), size, "next-token"), basis, basis)), size)


def test_a_wrong_caption_is_noticed() -> None:
    program, words = selecting(Sum((Term(20, Comparison(Index("column"), "==", Index("row", -1))),)), 5)
    assert words == "attend to the previous position (20)"
    assert not np.array_equal(claimed(words.replace("previous", "next"), 5), program.matrix("s"))


# What is printed of every primitive of the naming dictionary.

TOKENS = Header(("a", "b", "<bos>", "0", "1", "2", "3"), 7, "next-token", ("0", "1", "2", "3"))


@pytest.mark.parametrize("positions", [2, 7, 19])
@pytest.mark.parametrize(("query", "key"), [("pos", "pos"), ("token", "token"), ("pos", "token"), ("one", "token")])
def test_primitives_are_read_back_as_they_are_and_differ_in_print_where_they_differ(query: str, key: str, positions: int) -> None:
    header = Header(TOKENS.vocabulary, positions, "next-token", TOKENS.order)
    rows, columns = header.axis(header.built_in[query]), header.axis(header.built_in[key])
    found = [p for family in families(rows, columns, "constant", OperatorTuning()) for p in family.primitives]
    selects = tuple(Select(f"s{i}", Read(query), Read(key), Sum((Term(2, p),))) for i, p in enumerate(found))
    program = Program(header, (*selects, Prediction(())))
    again = parse(print_program(program))
    assert again == program
    printed: dict[str, np.ndarray] = {}
    said: dict[str, np.ndarray] = {}
    for select in selects:
        matrix = again.matrix(select.name)
        np.testing.assert_array_equal(matrix, select.op.matrix(rows, columns))
        for texts, text in ((printed, select.op.text(Names("q", "k", True))), (said, detail(program, select))):
            np.testing.assert_array_equal(texts.setdefault(text, matrix), matrix, err_msg=text)


# Formulas.

FORMULAS = [
    "1",
    'step(a1["a"] - a1["b"])',
    'step(3*a1[<bos>] - 2*a1["a"] - 1)',
    'step(-a1["a"] + 0.5)',
    'step(-(a1["a"] - a1["b"]) - 2*(a1["b"] - a1[<bos>]))',
    'a1["a"] - (a1["b"] - 2)',
    '2*(a1["a"] + m0[0])/(1 + a1["b"])',
    'relu(a1["a"] - 0.25) + max(a1["a"], a1["b"], 0.5)*3',
    '-min(a1["a"], m0[1]) - sign(a1["b"] - 0.3)',
    'exists(a1, "b")*2 - balance(a1, "a", "b")',
    'step(only(a1) - 0.5) + step(step(a1["a"]) - a1["b"])',
    "gelu(m0[1] - 1)",
    'step((a1 / m1)["a"] - 1)',
]
SOURCE = """drasp 1
vocabulary "a" "b" <bos>
positions 9
predict next-token

a1 = aggregate(s=[], v=token)
m0 = [a1["a"] + 1, a1["b"]*5]
m1 = a1["a"] + 0.5
x = FORMULA
prediction = softmax(0)
"""


def python_of(words: str) -> str:
    """A formula's caption as a Python expression over `a1`, `m0` and `m1`."""
    vocabulary = {'"a"': 0, '"b"': 1, "<bos>": 2}
    labels = "|".join(map(re.escape, vocabulary))
    read = r"(\w+|\(\w+ / \w+\))"
    words = re.sub(rf"share of ({labels}) in {read}", lambda m: f"{m[2]}[{vocabulary[m[1]]}]", words)
    words = re.sub(rf"coordinate (\d+) of {read}", r"\2[\1]", words)
    words = re.sub(rf"1 if ({labels}) is in (\w+), else 0", lambda m: f"float({m[2]}[{vocabulary[m[1]]}] > 1e-6)", words)
    words = re.sub(
        rf"1 if ({labels}) and ({labels}) are equal in (\w+), else 0",
        lambda m: f"float(abs({m[3]}[{vocabulary[m[1]]}] - {m[3]}[{vocabulary[m[2]]}]) < 1e-6)",
        words,
    )
    words = re.sub(r"1 if (\w+) has one coordinate only, else 0", r"float((\1 > 1e-6).sum() == 1)", words)
    for said, meant in {
        " x ": " * ",
        "; ": ", ",
        "the positive part of ": "relu",
        "the least of ": "min",
        "the largest of ": "max",
    }.items():
        words = words.replace(said, meant)
    return words.replace("the sign of ", "sign").replace("gelu of ", "gelu").replace(", else", " else")


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_caption_of_a_formula_computes_what_the_formula_does(formula: str) -> None:
    program = parse(SOURCE.replace("FORMULA", formula))
    tokens = np.random.default_rng(0).integers(0, 3, (20, 9))
    trace = evaluate(program, tokens)
    code = compile(python_of(detail(program, program.by_name["x"])), formula, "eval")
    known = {"relu": lambda x: max(x, 0), "sign": np.sign, "gelu": gelu}
    for row in range(20):
        for i in range(9):
            values = {name: trace.value(name)[row, i] for name in ("a1", "m0", "m1")}
            assert eval(code, known, values) == pytest.approx(trace.value("x")[row, i, 0], abs=1e-6)


# The sentences themselves.

PROGRAM = """drasp 1
vocabulary "0".."9" "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set
order "0".."9"

s1 = select(q=pos, k=pos, op=hard(k == q - 1))
s2 = select(q=token, k=token, op=20*(k == q) - 1.35*last)
s3 = select(k=token, op=7.5*(k in {"0".."3", "a"}))
s4 = select(q=token, k=token, op=20*nearest(k > q))
a1 = aggregate(s=s1, v=token)
s5 = select(q=a1, k=token, op=8*(k == q))
s6 = select(q=pos, k=pos, op=W)
a2 = aggregate(s=[], v=token)
a3 = aggregate(s=s1+s2, v=a1)
m1 = step(a2["a"] - a2["b"])
m2 = [a2["a"] + 1, exists(a1, "a")]
m3 = case(token, {"a": a2["a"] - 1, "b": step(a2["b"])})
m4 = table(token, op={"a": {0: 1.5}})
c1 = compare(pos, pos, op=(x % 2 == y % 2))
h1 = harden(a2)
h2 = sharpen(a2, 3)
p1 = pair(token, h1)
logits1 = project(inp=a1, op=8*(out == inp) - 4)
logits2 = project(inp=m1, op={0: {"b": 9, <eos>: -9}})
logits3 = project(op={"a": 2, <eos>: 1})
prediction = sigmoid(logits1 + logits2 + logits3)
"""

CAPTIONS = {
    "s1": "attend to the previous position",
    "s2": "attend by 20 for the same token; -1.35 times the place of the key token",
    "s3": 'attend to token "0" to "3" or "a" (7.5)',
    "s4": "attend to the nearest key where the key token is after the query token (20)",
    "a1": "share of each token where s1 attends",
    "s5": "attend to the key token that is the query token in a1 (8)",
    "s6": "attend by the opaque matrix W",
    "a2": "share of each token so far",
    "a3": "average of a1 where s1 + s2 attend",
    "m1": '1 if share of "a" in a2 > share of "b" in a2, else 0',
    "m2": 'share of "a" in a2 + 1; 1 if "a" is in a1, else 0',
    "m3": "for each of 2 coordinates a formula of token and a2",
    "m4": 'of token: (1.5 for 0 if the current token is "a")',
    "c1": "pos against pos: 1 where the first position modulo 2 is the second position modulo 2",
    "h1": "the largest coordinate of a2 as one-hot",
    "h2": "a2 to the power 3, renormalised",
    "p1": "token and h1 together",
    "logits1": "output the token in a1 (8; -4 always)",
    "logits2": 'output by (9 for "b", -9 for <eos> if the coordinate in m1 is 0)',
    "logits3": 'output by 2 for "a", 1 for <eos>',
    "prediction": "each token may come next if logits1 + logits2 + logits3 > 0",
}


def test_every_statement_has_a_caption_in_plain_english() -> None:
    program = parse(PROGRAM, operators={"W": np.zeros((152, 152))})
    assert captions(program) == CAPTIONS
    in_full = 'share of "a" in a2 - 1 if token is "a"; (1 if share of "b" in a2 > 0, else 0) if token is "b"'
    assert detail(program, program.by_name["m3"]) == in_full
    assert parse(print_program(program, captions(program)), operators={"W": np.zeros((152, 152))}) == program


@settings(max_examples=100)
@given(programs())
def test_every_caption_stands_beside_its_line(program: Program) -> None:
    assert max(map(len, captions(program).values())) <= WIDEST
