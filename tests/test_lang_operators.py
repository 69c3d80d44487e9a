"""Every symbolic primitive means the same in print and as a matrix."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest

from drasp.errors import ProgramError
from drasp.ir.basis import Basis, derived
from drasp.ir.labels import Range
from drasp.ir.nodes import Compare, Prediction, Project, Read, Select
from drasp.ir.operators import Except, Sum, Term
from drasp.ir.primitives import RECORDS
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.difference import Difference, Log
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import And, Not, Or
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.nearest import Nearest
from drasp.ir.primitives.place import First, Last
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.ir.primitives.total import Total
from drasp.ir.program import Header, Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program

ROW, COLUMN = Index("row"), Index("column")


def operator_matrix(text: str, header: Header, query: str = "pos", key: str = "pos") -> np.ndarray:
    """The matrix of `select(q=query, k=key, op=text)`, which must print as it was written."""
    order = "" if header.order is None else f"order {' '.join(_quoted(t) for t in header.order)}\n"
    head = f"drasp 1\nvocabulary {' '.join(map(_quoted, header.vocabulary))}\npositions {header.positions}\npredict next-token\n{order}\n"
    source = f"{head}s = select({'' if query == 'one' else f'q={query}, '}k={key}, op={text})\nprediction = softmax(0)\n"
    program = parse(source)
    assert print_program(program).splitlines()[-2] == source.splitlines()[-2]
    assert parse(print_program(program)) == program
    return program.matrix("s")


def _quoted(token: str) -> str:
    return token if token.startswith("<") else f'"{token}"'


POSITION_CASES: list[tuple[str, Callable[[int, int], float]]] = [
    ("20*(k == q)", lambda q, k: 20 * (k == q)),
    ("hard(k == q - 1)", lambda q, k: 10000 * (k == q - 1)),
    ("-hard(k == q + 2)", lambda q, k: -10000 * (k == q + 2)),
    ("1*(k != q)", lambda q, k: k != q),
    ("-1*(k < q)", lambda q, k: -(k < q)),
    ("2.5*(k <= q - 1)", lambda q, k: 2.5 * (k <= q - 1)),
    ("3*(q > k)", lambda q, k: 3 * (q > k)),
    ("3*(k >= q + 1)", lambda q, k: 3 * (k >= q + 1)),
    ("4*(k % 3 == q % 3)", lambda q, k: 4 * (k % 3 == q % 3)),
    ("4*(k % 3 == (q - 1) % 3)", lambda q, k: 4 * (k % 3 == (q - 1) % 3)),
    ("4*(k % 2 == 1)", lambda q, k: 4 * (k % 2 == 1)),
    ("4*((k + 1) % 4 in {1, 3})", lambda q, k: 4 * ((k + 1) % 4 in {1, 3})),
    ("4*(k == 0)", lambda q, k: 4 * (k == 0)),
    ("4*(q in {0})", lambda q, k: 4 * (q == 0)),
    ("4*(k in {0..0})", lambda q, k: 4 * (k == 0)),
    ("4*(not (k == q))", lambda q, k: 4 * (k != q)),
    ("4*(k < q and k % 2 == 0)", lambda q, k: 4 * (k < q and k % 2 == 0)),
    ("4*(k < q or k == 0 or q == 0)", lambda q, k: 4 * (k < q or k == 0 or q == 0)),
    ("4*(not (k < q) and (k == 0 or q == 0))", lambda q, k: 4 * (not k < q and (k == 0 or q == 0))),
    ("4*(k + q == 4)", lambda q, k: 4 * (k + q == 4)),
    ("4*((k + q) % 3 == 1)", lambda q, k: 4 * ((k + q) % 3 == 1)),
    ("hard(not (k + q == 0) and k < q)", lambda q, k: 10000 * (k + q != 0 and k < q)),
    ("last", lambda q, k: k),
    ("-0.5*last", lambda q, k: -0.5 * k),
    ("first", lambda q, k: -k),
    ("-1.35*(q - k)", lambda q, k: -1.35 * (q - k)),
    ("(k - q)", lambda q, k: k - q),
    ("-2.3*log(k - q)", lambda q, k: -2.3 * (log(k - q) if k > q else 0)),
    ("log(q - k)", lambda q, k: log(q - k) if q > k else 0),
    ("8*{0: {0}} - 4", lambda q, k: 8 * (q == k == 0) - 4),
    ("{0: {0: 1.5}}", lambda q, k: 1.5 * (q == k == 0)),
    ("-2*{0: {0: 1.5}}", lambda q, k: -3 * (q == k == 0)),
    ("3*(k == q) - 0.5*last + 1e-07", lambda q, k: 3 * (k == q) - 0.5 * k + 1e-07),
    ("7", lambda q, k: 7),
    ("0", lambda q, k: 0),
    ("hard(k == q) except {0: last - 1}", lambda q, k: k - 1 if q == 0 else 10000 * (k == q)),
]


@pytest.mark.parametrize("size", [1, 2, 5, 17])
@pytest.mark.parametrize(("text", "value"), POSITION_CASES, ids=[text for text, _ in POSITION_CASES])
def test_an_operator_between_positions(text: str, value: Callable[[int, int], float], size: int) -> None:
    found = operator_matrix(text, Header(("a",), size, "next-token"))
    np.testing.assert_allclose(found, [[value(q, k) for k in range(size)] for q in range(size)])


@pytest.mark.parametrize("size", [1, 2, 5, 17])
@pytest.mark.parametrize("predicate", ["k > q", "k < q", "k % 2 == 0"])
def test_nearest_is_minus_the_distance_where_its_predicate_holds_and_minus_the_size_elsewhere(predicate: str, size: int) -> None:
    holds = {"k > q": lambda q, k: k > q, "k < q": lambda q, k: k < q, "k % 2 == 0": lambda q, k: k % 2 == 0}[predicate]
    found = operator_matrix(f"nearest({predicate})", Header(("a",), size, "next-token"))
    np.testing.assert_array_equal(found, [[-abs(k - q) if holds(q, k) else -size for k in range(size)] for q in range(size)])


VOCABULARY = ("b", "<bos>", "2", "0", "1")
RANKS = {"0": 0, "1": 1, "2": 2}  # the order; b and <bos> have none


def _ordered(compare: Callable[[int, int], bool]) -> Callable[[str, str], float]:
    return lambda q, k: q in RANKS and k in RANKS and compare(RANKS[q], RANKS[k])


TOKEN_CASES: list[tuple[str, Callable[[str, str], float]]] = [
    ("1*(k == q)", lambda q, k: k == q),
    ("1*(k != q)", lambda q, k: k != q),
    ('1*(k == "b")', lambda q, k: k == "b"),
    ('1*(q in {"b", <bos>})', lambda q, k: q in ("b", "<bos>")),
    ('1*(k in {<bos>.."0", "b"})', lambda q, k: k in ("<bos>", "2", "0", "b")),  # a range runs over the vocabulary, not over the order
    ("1*(k < q)", _ordered(lambda q, k: k < q)),
    ("1*(k == q + 1)", _ordered(lambda q, k: k == q + 1)),
    ("1*(k + 1 != q)", _ordered(lambda q, k: k + 1 != q)),
    ("1*(k % 2 == q % 2)", _ordered(lambda q, k: k % 2 == q % 2)),
    ("1*(k + q == 2)", _ordered(lambda q, k: k + q == 2)),
    ("1*((k + q) % 3 == 0)", _ordered(lambda q, k: (k + q) % 3 == 0)),
    ('1*(k >= "1")', lambda q, k: k in ("1", "2")),
    ("1*(k % 2 == 1)", lambda q, k: k == "1"),
    ("1*(not (k < q))", lambda q, k: not (q in RANKS and k in RANKS and RANKS[k] < RANKS[q])),
    ("last", lambda q, k: RANKS.get(k, 0)),
    ("first", lambda q, k: -RANKS.get(k, 0)),
    ("(q - k)", lambda q, k: RANKS[q] - RANKS[k] if q in RANKS and k in RANKS else 0),
    ("log(k - q)", lambda q, k: log(RANKS[k] - RANKS[q]) if q in RANKS and k in RANKS and RANKS[k] > RANKS[q] else 0),
    ("nearest(k > q)", lambda q, k: -(RANKS[k] - RANKS[q]) if q in RANKS and k in RANKS and RANKS[k] > RANKS[q] else -5),
    ('8*{<bos>: {"0"}, "1": {"0", "2"}} - 4', lambda q, k: 8 * ((q, k) in {("<bos>", "0"), ("1", "0"), ("1", "2")}) - 4),
    ('{"b": {"0": 1.5, <bos>: -2}}', lambda q, k: {("b", "0"): 1.5, ("b", "<bos>"): -2}.get((q, k), 0)),
    ('hard(k == q) except {<bos>: hard(k == "b")}', lambda q, k: 10000 * (k == "b" if q == "<bos>" else k == q)),
]


@pytest.mark.parametrize(("text", "value"), TOKEN_CASES, ids=[text for text, _ in TOKEN_CASES])
def test_an_operator_between_tokens(text: str, value: Callable[[str, str], float]) -> None:
    found = operator_matrix(text, Header(VOCABULARY, 3, "next-token", ("0", "1", "2")), "token", "token")
    np.testing.assert_allclose(found, [[value(q, k) for k in VOCABULARY] for q in VOCABULARY])


def test_tokens_and_positions_compare_by_their_place_in_the_order() -> None:
    found = operator_matrix("1*(k == q)", Header(VOCABULARY, 3, "next-token", ("0", "1", "2")), "pos", "token")
    np.testing.assert_array_equal(found, [[RANKS.get(k, -1) == q for k in VOCABULARY] for q in range(3)])


def test_a_table_with_one_level_goes_by_key_where_the_query_is_one() -> None:
    found = operator_matrix('{"b": 1.5, "1": -2}', Header(VOCABULARY, 3, "next-token"), "one", "token")
    np.testing.assert_array_equal(found, [[1.5, 0, 0, 0, -2]])


PRIMITIVES: list[Primitive] = [
    Comparison(COLUMN, "==", ROW),
    Comparison(Index("column", -2), ">=", Index("row", 1)),
    Comparison(Index("column", 1, 3), "==", 2),
    Member(COLUMN, (0, Range(0, 0))),
    Not(Comparison(COLUMN, "<", ROW)),
    And((Comparison(COLUMN, "<", ROW), Not(Not(Comparison(COLUMN, "!=", 0))))),
    Or((And((Comparison(COLUMN, "<", ROW), Comparison(ROW, "==", 0))), Comparison(COLUMN, "==", 0))),
    Total(0),
    Total(1, 3),
    Last(),
    First(),
    Difference("row"),
    Difference("column"),
    Log(Difference("row")),
    Log(Difference("column")),
    Nearest(Comparison(COLUMN, ">", ROW)),
    Relation(((0, (0,)),)),
    Rows(((0, ((0, 2.5),)),)),
]


@pytest.mark.parametrize("strength", [1.0, -1.0, 2.5, 10000.0, -10000.0, 0.0])
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("primitive", PRIMITIVES, ids=repr)
def test_a_primitive_printed_and_read_back_is_the_same_matrix_in_every_statement(primitive: Primitive, size: int, strength: float) -> None:
    header = Header(tuple("abcdefgh"[:size]), size, "next-token", tuple("abcdefgh"[:size]))
    for op in (Sum((Term(strength, primitive),)), Except(Sum((Term(strength, primitive),), -1), ((0, Sum((Term(2, primitive),))),))):
        statements = (
            Select("s", Read("pos"), Read("pos"), op),
            Compare("c", Read("pos"), Read("pos"), op),
            Prediction(()),
        )
        program = Program(header, statements)
        again = parse(print_program(program))
        assert again == program
        for name in ("s", "c"):
            np.testing.assert_array_equal(again.matrix(name), program.matrix(name))


def test_every_primitive_is_among_those_tested() -> None:
    assert {type(p) for p in PRIMITIVES} | {Entries} == {record.kind for record in RECORDS}


def test_a_project_prints_a_predicate_of_strength_one_bare() -> None:
    program = Program(
        Header(("a",), 1, "next-token"),
        (Project("l", Read("token"), Sum((Term(-1, Comparison(COLUMN, "==", ROW)),), 2.5)), Prediction(("l",))),
    )
    assert "l = project(inp=token, op=-(out == inp) + 2.5)" in print_program(program)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Term(float("nan"), Last()), "nan is no finite number"),
        (lambda: Sum((), float("inf")), "inf is no finite number"),
        (lambda: Entries((("a", float("nan")),)), "nan is no finite number"),
        (lambda: Rows((("a", (("b", float("inf")),)),)), "inf is no finite number"),
        (lambda: Entries((("a", 1), ("a", 2))), 'a table has "a" twice'),
        (lambda: Entries(()), "a table is empty"),
        (lambda: Member(COLUMN, ()), "a set is empty"),
        (lambda: Member(COLUMN, (1, 1)), "a set has 1 twice"),
        (lambda: Relation((("<bos>", (1, 1)),)), "row <bos> has 1 twice"),
        (lambda: Except(Sum(), ()), "except is empty"),
        (lambda: Index("row", 0, 1), "a modulus is at least 2, not 1"),
        (lambda: Total(1, 1), "a modulus is at least 2, not 1"),
        (lambda: Total(3, 3), "3 is no remainder modulo 3"),
        (lambda: Total(-1), "-1 is no sum of two places"),
        (lambda: And((Comparison(ROW, "==", COLUMN),)), "and needs two predicates"),
        (lambda: Comparison(ROW, "=", COLUMN), "= is no comparison"),
    ],
)
def test_a_malformed_operator_cannot_be_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        make()


TOKENS, POSITIONS = Basis("token", 5), Basis("position", 3)


@pytest.mark.parametrize(
    ("primitive", "rows", "columns", "order", "message"),
    [
        (Comparison(COLUMN, "<", ROW), TOKENS, TOKENS, None, "tokens have no order here: the header needs an order line"),
        (Total(3), TOKENS, TOKENS, None, "tokens have no order here: the header needs an order line"),
        (Comparison(COLUMN, "<", "b"), TOKENS, TOKENS, ("0",), 'token "b" is not in the order'),
        (Comparison(COLUMN, "==", "z"), TOKENS, TOKENS, None, 'token "z" is not in the vocabulary'),
        (Comparison(COLUMN, "==", 2), TOKENS, TOKENS, None, "2 is no token: a token is written as a string"),
        (Comparison(COLUMN, "==", "b"), TOKENS, POSITIONS, None, r'"b" is no coordinate of position\[3\]: they are 0..2'),
        (Comparison(COLUMN, "==", 3), TOKENS, POSITIONS, None, r"3 is no coordinate of position\[3\]: they are 0..2"),
        (Comparison(Index("column", 0, 3), "==", 3), TOKENS, POSITIONS, None, "3 is no remainder modulo 3"),
        (Member(Index("column", 1), (Range(0, 1),)), TOKENS, POSITIONS, None, "the range 0..1 stands in a set of remainders or shifted"),
        (Member(COLUMN, (Range(2, 1),)), TOKENS, POSITIONS, None, "the range 2..1 ends before it starts"),
        (Last(), TOKENS, Basis("residual", 4), None, r"the coordinates of residual\[4\] have no order"),
        (Entries((("b", 1.0),)), TOKENS, TOKENS, None, "a table between two bases needs rows"),
        (Entries(((2, 1.0),)), derived(1), derived(2), None, r"2 is no coordinate of derived\[2\]"),
        (Comparison(COLUMN, "==", 1), TOKENS, Basis("pair", 6, (), (derived(2), derived(3))), None, "a pair is written"),
    ],
)
def test_an_operator_that_does_not_fit_its_bases_is_refused(
    primitive: Primitive, rows: Basis, columns: Basis, order: tuple[str, ...] | None, message: str
) -> None:
    header = Header(VOCABULARY, 3, "next-token", order)
    for empty in (False, True):
        with pytest.raises(ProgramError, match=message):
            Term(2, primitive).matrix(header.axis(rows, empty), header.axis(columns, empty))
