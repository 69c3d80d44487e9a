"""Dense operators are named as what they were made of, whatever their gauge and some noise."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import pytest

from drasp.ir.axis import Axis
from drasp.ir.basis import ONE, Basis, derived
from drasp.ir.labels import Label, Range
from drasp.ir.operators import Except, Sum, Symbolic, Term
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.difference import Difference, Log
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import And
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.nearest import Nearest
from drasp.ir.primitives.place import First, Last
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.ir.primitives.total import Total
from drasp.ir.program import Header
from drasp.naming.families import families
from drasp.naming.fitted import members_of
from drasp.naming.gauge import Gauge, centred, smallest, sparsest
from drasp.naming.operators import describe, length
from drasp.naming.target import Described, Sides
from drasp.naming.tuning import OperatorTuning

ROW, COLUMN = Index("row"), Index("column")
SPECIAL = ("<bos>", "<sep>", "<eos>", "<pad>")
LETTERS = tuple("abcdefghijklmnop")
TUNING = OperatorTuning()
NOISE = 0.01  # of the largest strength
FAINT = 0.003  # of the matrix's variation: what a term adds at least, if it is to be found


def axes(header: Header, rows: Basis, columns: Basis) -> tuple[Axis, Axis]:
    return header.axis(rows), header.axis(columns)


def squares(matrix: np.ndarray, weights: np.ndarray, gauge: Gauge) -> float:
    return float((weights * centred(matrix, weights, gauge) ** 2).sum())


# Gauges.


def test_a_centred_matrix_is_the_same_in_every_gauge() -> None:
    rng = np.random.default_rng(0)
    matrix, weights = rng.normal(size=(4, 6)), rng.uniform(size=(4, 6)) * (rng.uniform(size=(4, 6)) > 0.3)
    other = matrix + rng.normal(size=(4, 1))
    np.testing.assert_allclose(centred(matrix, weights, "row"), centred(other, weights, "row"), atol=1e-12)
    assert not np.allclose(centred(matrix, weights, "constant"), centred(other, weights, "constant"))
    np.testing.assert_allclose(centred(matrix, weights, "constant"), centred(matrix + 3, weights, "constant"), atol=1e-12)


def test_the_sparsest_gauge_has_the_most_entries_near_zero_and_leaves_out_what_never_occurs() -> None:
    matrix = np.array([[5, 5.01, 5, 9, 7], [1, 2, 3, 4, 5.0]])
    weights = np.array([[1, 1, 1, 1, 0], [0, 0, 1, 1, 0.0]])
    found = sparsest(matrix, weights, 0.02)
    np.testing.assert_allclose(found[0], [0, 0.01, 0, 4, 0], atol=0.011)
    assert sorted(np.abs(found[1])) == [0, 0, 0, 0, 1]


def test_the_smallest_gauge_takes_the_median() -> None:
    np.testing.assert_array_equal(smallest(np.array([[1, 2, 9.0]]), np.ones((1, 3))), [[-1, 0, 7]])


# The dictionary: each table is what its primitives are as matrices.

TOKENS = Header((*LETTERS[:5], *SPECIAL), 7, "next-token", ("b", "a", "d", "c"))
SIDES = [
    (TOKENS.built_in["pos"], TOKENS.built_in["pos"]),
    (TOKENS.built_in["token"], TOKENS.built_in["token"]),
    (TOKENS.built_in["pos"], TOKENS.built_in["token"]),
    (TOKENS.built_in["token"], derived(3)),
    (ONE, TOKENS.built_in["token"]),
    (Basis("pair", 6, (), (derived(2), derived(3))), Basis("pair", 6, (), (derived(2), derived(3)))),
]


@pytest.mark.parametrize("gauge", ["row", "constant"])
@pytest.mark.parametrize(("rows", "columns"), SIDES, ids=str)
def test_the_table_of_a_family_is_what_its_primitives_are_as_matrices(rows: Basis, columns: Basis, gauge: Gauge) -> None:
    row, column = axes(TOKENS, rows, columns)
    found = families(row, column, gauge, TUNING)
    assert found
    for family in found:
        for primitive, values in zip(family.primitives, family.table, strict=True):
            expected = np.broadcast_to(primitive.matrix(row, column), family.cells.shape)
            np.testing.assert_allclose(values[family.cells], expected, err_msg=str(primitive))


def test_a_set_is_written_with_ranges_that_may_run_over_what_never_occurs() -> None:
    axis = TOKENS.axis(TOKENS.built_in["token"])
    chosen, free = np.zeros(9, bool), np.zeros(9, bool)
    chosen[[0, 1, 3, 5]] = True
    assert members_of(axis, chosen, free) == ("a", "b", "d", "<bos>")
    free[2] = True
    assert members_of(axis, chosen, free) == (Range("a", "d"), "<bos>")


# What a description is.

POSITIONS = TOKENS.built_in["pos"]


def described(op: Symbolic, header: Header, rows: Basis, columns: Basis, gauge: Gauge = "row") -> list[Described]:
    row, column = axes(header, rows, columns)
    return describe(op.matrix(row, column), np.ones((rows.size, columns.size)), Sides(row, column, gauge, TUNING))


def test_descriptions_go_from_the_shortest_to_the_most_accurate() -> None:
    op = Sum((Term(20, Comparison(COLUMN, "==", Index("row", -1))), Term(2, Last())))
    found = described(op, TOKENS, POSITIONS, POSITIONS)
    assert [length(d, TUNING) for d in found] == sorted(length(d, TUNING) for d in found)
    assert [d.error for d in found] == sorted((d.error for d in found), reverse=True)
    assert found[-1].op == op
    assert found[-1].error == pytest.approx(0, abs=1e-12)
    assert all(d.numbers == d.op.numbers() for d in found)


def test_a_constant_is_the_gauge_of_a_selector_and_part_of_logits_under_sigmoid() -> None:
    tokens = TOKENS.built_in["token"]
    op = Sum((Term(8, Comparison(COLUMN, "==", ROW)),), -4)
    assert described(op, TOKENS, tokens, tokens)[-1].op == Sum(op.terms)
    assert described(op, TOKENS, tokens, tokens, "constant")[-1].op == op
    assert described(Sum((), -4), TOKENS, ONE, tokens, "constant")[-1].op == Sum((), -4)


@pytest.mark.parametrize("gauge", ["row", "constant"])
def test_what_never_occurs_has_no_influence(gauge: Gauge) -> None:
    rng = np.random.default_rng(0)
    row, column = axes(TOKENS, POSITIONS, POSITIONS)
    matrix = Sum((Term(20, Comparison(COLUMN, "==", Index("row", -1))),)).matrix(row, column)
    weights = np.tril(np.ones((7, 7)))
    weights[:, 3] = weights[5] = 0
    sides = Sides(row, column, gauge, TUNING)
    expected = describe(matrix, weights, sides)
    assert describe(np.where(weights > 0, matrix, 100 * rng.normal(size=(7, 7))), weights, sides) == expected
    assert describe(matrix, np.zeros((7, 7)), sides) == [Described(Sum(), 0.0, 1)]


def test_tokens_without_an_order_need_none() -> None:
    header = Header((*LETTERS, *SPECIAL), 7, "next-token")
    tokens = header.built_in["token"]
    rng = np.random.default_rng(0)
    row, column = axes(header, tokens, tokens)
    for found in describe(rng.normal(size=(20, 20)).cumsum(1), np.ones((20, 20)), Sides(row, column, "row", TUNING)):
        found.op.matrix(row, column)  # would raise ProgramError


@pytest.mark.parametrize("primitive", [Total(9), Total(7, 10), Total(2, 4)])
@pytest.mark.parametrize("gauge", ["row", "constant"])
def test_a_sum_of_places_is_found_between_few_tokens_with_an_order(primitive: Total, gauge: Gauge) -> None:
    digits = tuple(map(str, range(10)))
    header = Header((*digits, *SPECIAL), 7, "next-token", digits)
    tokens = header.built_in["token"]
    op = Sum((Term(12, primitive),), 0.0 if gauge == "row" else -4)
    assert described(op, header, tokens, tokens, gauge)[-1].op == op


def test_a_small_matrix_without_any_form_is_a_table() -> None:
    header = Header(("a", "b", "<bos>"), 7, "next-token")
    tokens = header.built_in["token"]
    table = Sum((Term(1, Rows((("a", (("a", 3.5), ("b", -2.0))), ("b", (("<bos>", 7.0),))))),))
    assert described(table, header, tokens, tokens, "constant")[-1].error < 1e-3
    entries = Sum((Term(1, Entries((("a", 3.5), ("<bos>", -2.0)))),))
    assert described(entries, header, ONE, tokens)[-1].op == entries


# Row 6: planted operators are found again.


def label(rng: np.random.Generator, axis: Axis) -> Label:
    return axis.label(rng.integers(axis.basis.size))


def members(rng: np.random.Generator, axis: Axis) -> tuple[Label, ...]:
    """Two to four of the coordinates, one where there are but two."""
    count = min(int(rng.integers(2, 5)), axis.basis.size - 1)
    return tuple(axis.label(i) for i in np.sort(rng.choice(axis.basis.size, count, replace=False)))


def planted_bases(rng: np.random.Generator, selects: bool) -> tuple[Header, Basis, Basis]:
    size = int(rng.choice([2, 3, 5, 8, 12]))
    ordered = bool(rng.integers(2))
    symbols = tuple(map(str, range(size))) if ordered else LETTERS[:size]
    header = Header((*symbols, *SPECIAL), int(rng.choice([12, 25, 60])), "next-token", symbols if ordered else None)
    pos, token, other = header.built_in["pos"], header.built_in["token"], derived(int(rng.choice([2, 4, 8])))
    if selects:
        choices = [(pos, pos)] * 6 + [(token, token)] * 6 + [(other, other)] * 2 + [(pos, token), (token, pos), (ONE, token), (ONE, pos)]
        return header, *choices[rng.integers(len(choices))]
    return header, [token, token, token, other, ONE, pos][rng.integers(6)], token


def planted_primitive(rng: np.random.Generator, row: Axis, column: Axis) -> Primitive:
    rows, columns = row.basis, column.basis
    has_order = [basis.kind != "token" or axis._order is not None for axis, basis in ((row, rows), (column, columns))]
    kinds = ["key", "set"]
    if rows.size > 1:
        kinds += ["same"] * 3 * (rows == columns)
        kinds += ["shift", "shift", "order", "modulo", "difference", "log", "nearest"] * all(has_order)
        kinds += ["pair", "relation", "block"] * (rows.size <= 30 and columns.size <= 30)
    kinds += ["last", "threshold"] * has_order[1]
    kind = str(rng.choice(kinds))
    shift = int(rng.integers(1, max(2, min(5, rows.size)))) * int(rng.choice([-1, 1]))
    relation = str(rng.choice(["<", "<=", ">", ">="]))
    modulus = int(rng.integers(2, 7))
    difference = Difference("row" if rng.integers(2) else "column")
    if kind == "threshold":
        ordered = np.flatnonzero(column.ranks > 0)
        return Comparison(COLUMN, relation, column.label(rng.choice(ordered) if len(ordered) else 0))
    if kind == "relation":
        chosen = np.sort(rng.choice(rows.size, min(3, rows.size), replace=False))
        return Relation(tuple((row.label(i), members(rng, column)) for i in chosen))
    simple: dict[str, Primitive] = {
        "key": Comparison(COLUMN, "==", label(rng, column)),
        "set": Member(COLUMN, members(rng, column)),
        "same": Comparison(COLUMN, "==", ROW),
        "shift": Comparison(COLUMN, "==", Index("row", shift)),
        "order": Comparison(COLUMN, relation, Index("row", int(rng.choice([0, shift])))),
        "modulo": Comparison(Index("column", 0, modulus), "==", Index("row", int(rng.integers(modulus)), modulus)),
        "difference": difference,
        "log": Log(difference),
        "nearest": Nearest(Comparison(COLUMN, relation, ROW)),
        "last": Last() if rng.integers(2) else First(),
    }
    if kind in ("pair", "block"):
        sets = (members(rng, row), members(rng, column)) if kind == "block" else ((label(rng, row),), (label(rng, column),))
        return And((Member(ROW, sets[0]), Member(COLUMN, sets[1])))
    return simple[kind]


def planted_operator(rng: np.random.Generator, row: Axis, column: Axis, gauge: Gauge) -> Symbolic:
    def strength(primitive: Primitive) -> float:
        """An integer or half for a predicate, tenths for what is graded."""
        sign = 1 if rng.random() < 0.8 else -1
        graded = isinstance(primitive, Difference | Log | Last | First | Nearest)
        return sign * (float(rng.integers(5, 40)) / 10 if graded else float(rng.integers(8, 60)) / 2)

    primitives = [planted_primitive(rng, row, column) for _ in range(int(rng.choice([1, 1, 1, 2, 2, 3])))]
    constant = float(rng.integers(-8, 9)) if gauge == "constant" else 0.0
    base = Sum(tuple(Term(strength(p), p) for p in primitives), constant)
    if row.basis.kind != "token" or rng.random() > 0.2:
        return base
    other = Comparison(COLUMN, "==", label(rng, column))
    return Except(base, ((str(rng.choice(["<bos>", "<sep>"])), Sum((Term(strength(other), other),), constant)),))


def sums_of(op: Symbolic) -> list[Sum]:
    return [op] if isinstance(op, Sum) else [op.base, *(s for _, s in op.overrides)]


def without_each(op: Symbolic) -> list[Symbolic]:
    """The operator without each of its terms, and without its overrides."""
    base = sums_of(op)[0]
    shorter = [Sum(base.terms[:i] + base.terms[i + 1 :], base.constant) for i in range(len(base.terms))]
    return list(shorter) if isinstance(op, Sum) else [base, *(Except(s, op.overrides) for s in shorter)]


def has_same_predicates(op: Symbolic, matrix: np.ndarray, weights: np.ndarray, sides: tuple[Axis, Axis], gauge: Gauge) -> bool:
    """Whether some strengths of the operator's own primitives give exactly the matrix, modulo the gauge."""
    row = sides[0]
    overridden = [] if isinstance(op, Sum) else [row.index(row_label) for row_label, _ in op.overrides]
    parts = [np.setdiff1d(row.ids, overridden), *([i] for i in overridden)]
    for ids, part in zip(parts, sums_of(op), strict=True):
        root = np.sqrt(weights[ids])
        goal = (centred(matrix[ids], weights[ids], gauge) * root).ravel()
        primitives = [np.broadcast_to(t.primitive.matrix(*sides), matrix.shape)[ids] * 1.0 for t in part.terms]
        features = np.array([(centred(p, weights[ids], gauge) * root).ravel() for p in primitives]).reshape(-1, goal.size)
        rest = goal - np.linalg.lstsq(features.T, goal, rcond=1e-10)[0] @ features if len(features) else goal
        if (rest**2).sum() > 1e-9 * max((goal**2).sum(), 1e-9):
            return False
    return True


def is_recovered(
    found: Sequence[Described], true: Symbolic, noise: float, weights: np.ndarray, sides: tuple[Axis, Axis], gauge: Gauge
) -> bool:
    """Whether the shortest description that is as good as the noise allows has the planted predicates, the strengths within rounding.

    A table has no predicates: it must be no longer than what was planted.
    """
    best = next((d for d in found if d.error <= 1.2 * noise + 3e-4), found[-1])
    matrix = true.matrix(*sides)
    near = squares(matrix - best.op.matrix(*sides), weights, gauge) <= 2.5e-3 * squares(matrix, weights, gauge)
    if any(isinstance(term.primitive, Rows | Entries) for s in sums_of(best.op) for term in s.terms):
        return near and best.numbers <= true.numbers()
    return near and has_same_predicates(best.op, matrix, weights, sides, gauge)


def planted(rng: np.random.Generator) -> bool | None:
    """Plants one operator and looks for it; None where a term of it is too faint to be seen, or all that it does is gauge."""
    kind = rng.integers(5)  # three of five are selectors, one is of logits under softmax, one under sigmoid
    selects = bool(kind < 3)
    gauge: Gauge = "constant" if kind == 4 else "row"
    header, rows, columns = planted_bases(rng, selects)
    sides = axes(header, rows, columns)
    true = planted_operator(rng, *sides, gauge)
    matrix = true.matrix(*sides)
    weights = rng.uniform(0.2, 1.8, matrix.shape) if rng.integers(2) else np.ones(matrix.shape)
    if selects and rows == columns == header.built_in["pos"]:
        weights = np.tril(weights)
    noise = rng.normal(size=matrix.shape) * NOISE * max(abs(t.strength) for s in sums_of(true) for t in s.terms)
    total, faintest = (
        squares(matrix + noise, weights, gauge),
        min(squares(matrix - op.matrix(*sides), weights, gauge) for op in without_each(true)),
    )
    noise_squares = squares(noise, weights, gauge)
    if faintest < max(FAINT * total, 32 * noise_squares / matrix.size):
        return None
    dense = matrix + noise + (10 * rng.normal(size=(rows.size, 1)) if gauge == "row" else 0)
    return is_recovered(describe(dense, weights, Sides(*sides, gauge, TUNING)), true, noise_squares / total, weights, sides, gauge)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_planted_operators_are_found_again(count: int) -> None:
    rng = np.random.default_rng(0)
    found: list[bool] = []
    while len(found) < count:
        recovered = planted(rng)
        if recovered is not None:
            found.append(recovered)
    assert np.mean(found) >= 0.95


def test_a_large_matrix_takes_seconds() -> None:
    header = Header(LETTERS, 303, "next-token")
    row, column = axes(header, header.built_in["pos"], header.built_in["pos"])
    op = Sum((Term(22, Comparison(COLUMN, "==", Index("row", -3))), Term(1.5, Last())))
    matrix = op.matrix(row, column) + 0.2 * np.random.default_rng(0).normal(size=(303, 303))
    start = perf_counter()
    assert op in [d.op for d in describe(matrix, np.tril(np.ones((303, 303))), Sides(row, column, "row", TUNING))]
    assert perf_counter() - start < 20
