"""Dense operators named: a short sum of primitives in place of a matrix.

Greedy regression on a dictionary of primitives: one term after the other, each time the primitive that explains the most of what is left for
the numbers it costs, weighted by how much each pair of coordinates matters and free of the gauge. After each, every other term may change for
a better one. What comes out is not one description but the few best, from the shortest to the most accurate: which of them is good enough
only the program's match can tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10
from typing import Any, Literal

import numpy as np

from drasp.ir.operators import (
    HARD,
    And,
    Axis,
    Entries,
    Except,
    Primitive,
    Relation,
    Rows,
    Sum,
    Symbolic,
    Term,
)
from drasp.naming.families import Family, families, members_of, only, rectangle
from drasp.naming.gauge import Gauge, centred, group_sums, smallest, sparsest

Array = np.ndarray[Any, Any]
Role = Literal["select", "project-softmax", "project-sets"]
Primitives = tuple[Primitive, ...]

TERMS_AT_MOST = 6
EXPLAINED = 1 - 1e-5  # weighted R squared at which nothing more is sought
LEAST_GAIN = 1e-4  # of R squared, by one more term
NUMBERS_WORTH = 20.0  # a term must divide what is unexplained by exp(its numbers / this)
FITTED_COST = 2.0  # the same for the numbers of a set or relation made to fit: it fits noise too
STARTS = 4  # first terms that are tried
SWAP_GAIN = 1e-3  # share of what is unexplained by which another term must be better
ROUNDING = 2.5e-4  # of R squared, lost by rounding all strengths
GRIDS = (1.0, 0.5, 0.1, 0.01)
DIGITS = 3  # significant ones, where no grid is fine enough
TABLE_AT_MOST = 40  # entries of a table, pairs of a relation
TABLE_TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the largest entry: what a table leaves out
SMALL = 1600  # pairs of coordinates up to which relations and tables are tried
OVERRIDES_AT_MOST = 3
ROW_ERROR = 0.02  # of a row that another sum is to replace, where that is to be short
TERM_COST = 0.5  # what a term adds to the length of a description, besides its numbers
LEAST_ERROR = 1e-5  # differences below it do not count


@dataclass(frozen=True)
class Described:
    """One description of a matrix.

    Attributes:
        op: the operator.
        error: the weighted share of the matrix's variation, modulo the gauge, that the operator lacks: 1 - R squared. From `describe_hard`:
            the mean total variation between the two attentions.
        numbers: the free numbers of the operator.
    """

    op: Symbolic
    error: float
    numbers: int

    @property
    def length(self) -> float:
        """What descriptions are ordered by: the numbers, and a little for each term."""
        sums = (self.op,) if isinstance(self.op, Sum) else (self.op.base, *(s for _, s in self.op.overrides))
        return self.numbers + TERM_COST * sum(len(s.terms) for s in sums)


def describe(matrix: Array, weights: Array, rows: Axis, columns: Axis, *, role: Role) -> list[Described]:
    """Symbolic operators for a matrix, from the shortest to the most accurate; none is both longer and worse than another.

    Args:
        matrix: (rows, columns), the scores or logits.
        weights: the same shape, >= 0: how much each pair matters. A pair of weight 0 has no influence.
        rows, columns: the two sides; those of `Header.axis`, with the task's order of tokens.
        role: of a selector and of logits under softmax a constant per row is no part of the matrix; of logits under sigmoid it is.
    """
    gauge: Gauge = "constant" if role == "project-sets" else "row"
    if not weights.any():
        return [Described(Sum(), 0.0, 1)]
    target = Target(matrix, weights, rows, columns, families(rows, columns, gauge), gauge)
    return front([target.described(op) for op in _operators(target)])


def describe_hard(matrix: Array, weights: Array, rows: Axis, columns: Axis) -> list[Described]:
    """As `describe`, for a selector that attends to few keys at each query: what is named is which keys, not how much more they score.

    The strengths are those of `hard(...)`, and the error is that of `attention_error` under the rows' weights, keys of weight 0 masked.
    """
    mask = weights > 0
    attention = softmax(matrix, mask)
    target = Target(attention, mask.astype(np.float64), rows, columns, families(rows, columns, "row"), "row")
    row_weights = weights.sum(1)
    found = []
    for op in _operators(target):
        hard = _hard(op)
        found.append(Described(hard, attention_error(hard.matrix(rows, columns), matrix, row_weights, mask), hard.numbers()))
    return front(found)


def attention_error(op_matrix: Array, true_matrix: Array, row_weights: Array, mask: Array) -> float:
    """The mean total variation between the softmax rows of two score matrices: 0 the same attention, 1 none in common.

    Args:
        op_matrix, true_matrix: scores (rows, columns).
        row_weights: (rows), >= 0.
        mask: booleans (rows, columns), which keys a query may see.
    """
    variation = np.abs(softmax(op_matrix, mask) - softmax(true_matrix, mask)).sum(1) / 2
    return float(np.average(variation, weights=row_weights)) if row_weights.any() else 0.0


def softmax(scores: Array, mask: Array) -> Array:
    """Rows of attention over the keys of the mask; a row without any is 0."""
    highest = np.where(mask, scores, -np.inf).max(1, keepdims=True, initial=-np.inf)
    powers = np.where(mask, np.exp(np.where(mask, scores - np.where(np.isinf(highest), 0, highest), 0)), 0)
    sums = powers.sum(1, keepdims=True)
    return powers / np.where(sums == 0, 1, sums)


def front(found: Iterable[Described]) -> list[Described]:
    """Those than which none is shorter and about as accurate, from the shortest to the most accurate: longer ones must be worth it."""
    kept: list[Described] = []
    for one in sorted(found, key=lambda d: (d.length, d.error)):
        if not kept or one.error < kept[-1].error * np.exp((kept[-1].length - one.length) / NUMBERS_WORTH) - LEAST_ERROR:
            kept.append(one)
    return kept


class Target:
    """A matrix to be described: what of it no gauge can change, and how well primitives explain that.

    Attributes:
        matrix, weights: (rows, columns); the weights sum to 1.
        dictionary: the families of primitives that fit the two sides.
    """

    def __init__(self, matrix: Array, weights: Array, rows: Axis, columns: Axis, dictionary: tuple[Family, ...], gauge: Gauge) -> None:
        self.matrix = matrix.astype(np.float64)
        self.weights = weights / weights.sum()
        self.rows, self.columns = rows, columns
        self.dictionary = dictionary
        self.gauge: Gauge = gauge
        self.mass = group_sums(self.weights, gauge)
        self.free = (~(weights > 0).any(1), ~(weights > 0).any(0))
        self._root = np.sqrt(self.weights)
        self._features: dict[Primitive, Array] = {}
        self.goal = self._centred(self.matrix)
        self.total = float(self.goal @ self.goal)
        if self.total < 1e-20 * float(np.abs(self.matrix).max()) ** 2:  # all gauge, but for rounding errors
            self.goal, self.total = np.zeros_like(self.goal), 0.0

    def without(self, excluded: Array) -> "Target":
        """The same, some rows left out; the rest must have weight."""
        weights = np.where(excluded[:, None], 0, self.weights)
        return Target(self.matrix, weights, self.rows, self.columns, self.dictionary, self.gauge)

    def row(self, index: int) -> "Target":
        """One row alone."""
        rows = only(self.rows, self.rows.ids[[index]])
        dictionary = families(rows, self.columns, self.gauge)
        return Target(self.matrix[[index]], self.weights[[index]], rows, self.columns, dictionary, self.gauge)

    def _centred(self, matrix: Array) -> Array:
        """Without the gauge, times the roots of the weights, in one row: squares of this are errors."""
        full = np.broadcast_to(matrix, self.weights.shape)
        return (centred(full, self.weights, self.gauge) * self._root).ravel()

    def feature(self, primitive: Primitive) -> Array:
        """A primitive's matrix, without the gauge, in one row."""
        if primitive not in self._features:
            self._features[primitive] = self._centred(primitive.matrix(self.rows, self.columns).astype(np.float64))
        return self._features[primitive]

    @cached_property
    def norms(self) -> tuple[Array, ...]:
        """For each family the squares of its primitives' features; 0 for a primitive that is all gauge."""
        found = []
        for family in self.dictionary:
            size = family.table.shape[1]
            rows = np.arange(len(self.weights))[:, None]
            by_row = np.bincount((family.cells + size * rows).ravel(), self.weights.ravel(), size * len(rows)).reshape(-1, size)
            means = group_sums_of(by_row @ family.table.T, self.gauge)
            mass = np.where(self.mass == 0, 1, self.mass)
            squares = by_row.sum(0) @ (family.table**2).T
            norms = squares - (means**2 / mass).sum(0)
            found.append(np.where(norms > 1e-9 * squares, norms, 0))
        return tuple(found)

    def solve(self, primitives: Primitives, fixed: Sequence[float | None] | None = None) -> tuple[Array, float]:
        """The best strengths of some primitives, those fixed left alone, and what they leave unexplained."""
        features = np.array([self.feature(p) for p in primitives]).reshape(len(primitives), self.goal.size)
        gram, products = features @ features.T, features @ self.goal
        return _solve(gram, products, self.total, fixed or [None] * len(primitives))

    def residual(self, primitives: Primitives) -> Array:
        """What is left of the matrix, without the gauge, times the weights: its product with a matrix is that matrix's gain."""
        rest = self.goal
        if primitives:
            strengths, _ = self.solve(primitives)
            rest = rest - strengths @ np.array([self.feature(p) for p in primitives])
        return rest.reshape(self.weights.shape) * self._root

    def described(self, op: Symbolic) -> Described:
        """An operator with its error."""
        rest = self._centred(self.matrix - op.matrix(self.rows, self.columns))
        error = float(rest @ rest)
        if self.gauge == "constant":  # the constant is part of such a matrix
            error += float((self.weights * (self.matrix - op.matrix(self.rows, self.columns))).sum()) ** 2
        return Described(op, error / self.total if self.total > 0 else float(error > 0), op.numbers())


def group_sums_of(values: Array, gauge: Gauge) -> Array:
    """Sums (rows or 1, n) of what has been summed along each row already (rows, n)."""
    return values if gauge == "row" else values.sum(0, keepdims=True)


def _solve(gram: Array, products: Array, total: float, fixed: Sequence[float | None]) -> tuple[Array, float]:
    strengths = np.array([0.0 if f is None else f for f in fixed])
    free = [i for i, f in enumerate(fixed) if f is None]
    if free:
        wanted = products[free] - gram[free] @ strengths
        strengths[free] = np.linalg.lstsq(gram[np.ix_(free, free)], wanted, rcond=1e-10)[0]
    return strengths, max(0.0, float(total - 2 * strengths @ products + strengths @ gram @ strengths))


# Which primitives: greedily, from several first terms.


@dataclass(frozen=True)
class _Candidate:
    """A primitive, what it would explain, whether that is worth its numbers, and whether it was made to fit."""

    primitive: Primitive
    gain: float
    worth: float
    fitted: bool


def _operators(target: Target) -> Iterator[Symbolic]:
    """Operators of all kinds for one target: sums, with tables for what they leave, and with other rows for what they get wrong."""
    yield from _constants(target)
    paths = _sets_of_terms(target)
    for terms in paths:
        base = _rounded(target, terms)
        yield base
    for terms in [(), *paths]:
        yield from _with_table(target, terms)
    if len(target.weights) > 2:
        yield from _with_overrides(target, paths)


def _constants(target: Target) -> Iterator[Sum]:
    yield Sum((), _constant(target, Sum()))


def _sets_of_terms(target: Target) -> list[Primitives]:
    """The sets of primitives on the way to the best descriptions, and what is left of them when terms are dropped."""
    found: dict[Primitives, None] = {}
    rest = target.residual(())
    for start in _starts(_candidates(target, rest, target.total)):
        for terms in _grown(target, (start.primitive,)):
            while terms and terms not in found:
                found[terms] = None
                terms = _without_least(target, terms)
    return list(found)


def _starts(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """The best candidates that differ: not two that explain the same, nor more than half of them made to fit."""
    starts: list[_Candidate] = []
    for candidate in candidates:
        same = any(abs(candidate.gain - other.gain) < 1e-9 * other.gain for other in starts)
        crowded = candidate.fitted and sum(other.fitted for other in starts) == STARTS // 2
        if not same and not crowded and len(starts) < STARTS:
            starts.append(candidate)
    return starts


def _grown(target: Target, terms: Primitives) -> Iterator[Primitives]:
    """One term after the other, the others exchanged for better ones each time."""
    while True:
        yield terms
        _, left = target.solve(terms)
        if left < (1 - EXPLAINED) * target.total or len(terms) == TERMS_AT_MOST:
            return
        best = _best(target, terms, left)
        if best is None or best.gain < LEAST_GAIN * target.total:
            return
        grown = (*terms, best.primitive)
        for i in range(len(grown)):
            others = grown[:i] + grown[i + 1 :]
            _, now = target.solve(grown)
            _, without = target.solve(others)
            other = _best(target, others, without)
            if other is not None and target.solve((*others, other.primitive))[1] < (1 - SWAP_GAIN) * now:
                grown = (*grown[:i], other.primitive, *grown[i + 1 :])
        terms = grown


def _best(target: Target, terms: Primitives, left: float) -> _Candidate | None:
    candidates = [c for c in _candidates(target, target.residual(terms), left) if c.primitive not in terms]
    return candidates[0] if candidates and candidates[0].worth > 0 else None


def _without_least(target: Target, terms: Primitives) -> Primitives:
    """The terms without the one that explains least."""
    return min((terms[:i] + terms[i + 1 :] for i in range(len(terms))), key=lambda t: target.solve(t)[1], default=())


def _worth(gain: Array, left: float, numbers: Array) -> Array:
    """How much smaller a gain makes what is left, against the numbers it costs; rounded, so that equals are equal."""
    return np.round(-NUMBERS_WORTH * np.log(np.maximum(1 - gain / left, 1e-6)) - numbers, 6)


def _candidates(target: Target, residual: Array, left: float) -> list[_Candidate]:
    """The best of every family and of the sets, relations and single pairs that fit the residual; the best of all first."""
    found: list[_Candidate] = []
    if left <= 0:
        return found
    for family, norms in zip(target.dictionary, target.norms, strict=True):
        products = family.table @ np.bincount(family.cells.ravel(), residual.ravel(), family.table.shape[1])
        gains = np.where(norms > 0, products**2 / np.where(norms > 0, norms, 1), 0)
        worth = _worth(gains, left, family.numbers) + 0.01 * (products > 0)  # a positive strength reads better
        for i in np.argsort(-worth, kind="stable")[:2]:
            found.append(_Candidate(family.primitives[i], float(gains[i]), float(worth[i]), False))
    for primitive in dict.fromkeys(_fitted(target, residual)):
        feature = target.feature(primitive)
        norm, product = float(feature @ feature), float((primitive.matrix(target.rows, target.columns) * residual).sum())
        if norm > 0:
            gain = product**2 / norm
            worth = float(_worth(np.array(gain), left, np.array(FITTED_COST * primitive.numbers() + 1))) + 0.01 * (product > 0)
            found.append(_Candidate(primitive, gain, worth, True))
    return sorted(found, key=lambda c: -c.worth)


# Primitives made to fit a residual: sets of rows and columns, and relations.


def _fitted(target: Target, residual: Array) -> Iterator[Primitive]:
    for sign in (1, -1):
        different = {(rows.tobytes(), columns.tobytes()): (rows, columns) for rows, columns in _rectangles(target, sign * residual)}
        for rows, columns in different.values():
            yield rectangle(target.rows, target.columns, rows, columns, target.free, target.gauge)
    if residual.size <= SMALL and len(residual) > 1:
        yield from _relations(target, residual)


def _rectangles(target: Target, residual: Array) -> Iterator[tuple[Array, Array]]:
    """Sets of rows and of columns such that the residual is high where both hold, as booleans (rows), (columns)."""
    every_row = ~target.free[0]
    seeds = [every_row]
    if len(residual) > 1:
        alone = residual**2 / np.where(target.weights > 0, target.weights, 1) * (residual > 0)
        seeds.append(np.arange(len(residual)) == alone.max(1).argmax())
        seeds.append(np.arange(len(residual)) == alone.sum(1).argmax())
    for rows in seeds:
        for _ in range(2):
            columns = _best_columns(target, residual, rows)
            if columns is None:
                break
            yield rows, columns
            if len(residual) > 1:
                rows = _best_rows(target, residual, columns)
                yield rows, columns


def _best_columns(target: Target, residual: Array, rows: Array) -> Array | None:
    """The set of columns that explains most, taken in the order of their mean residual in some rows; None where no column does."""
    weights, mass = target.weights[rows], target.mass[rows] if target.gauge == "row" else target.mass
    by_column = weights.sum(0)
    present = np.flatnonzero(by_column > 0)
    products = residual[rows].sum(0)
    order = present[np.argsort(-products[present] / by_column[present], kind="stable")]
    sums = group_sums_of(np.cumsum(weights[:, order], 1), target.gauge)
    norms = (sums - sums**2 / np.where(mass == 0, 1, mass)).sum(0)
    return _prefix(order, np.cumsum(products[order]), norms, residual.shape[1])


def _best_rows(target: Target, residual: Array, columns: Array) -> Array:
    """The set of rows that explains most together with some columns; all rows where none does."""
    sums = target.weights[:, columns].sum(1)
    products = residual[:, columns].sum(1)
    norms = sums - sums**2 / np.where(target.mass[:, 0] == 0, 1, target.mass[:, 0]) if target.gauge == "row" else sums
    present = np.flatnonzero(norms > 1e-12)
    order = present[np.argsort(-products[present] / norms[present], kind="stable")]
    total = np.cumsum(norms[order])
    if target.gauge == "constant":
        total = total - total**2 / target.mass[0, 0]
    found = _prefix(order, np.cumsum(products[order]), total, len(residual))
    return ~target.free[0] if found is None else found


def _prefix(order: Array, products: Array, norms: Array, size: int) -> Array | None:
    """The first so many of an order that explain most, as booleans (size)."""
    visible = norms > 1e-12
    gains = np.where(visible & (products > 0), products**2 / np.where(visible, norms, 1), 0)
    if not gains.any():
        return None
    return np.isin(np.arange(size), order[: int(gains.argmax()) + 1])


def _relations(target: Target, residual: Array) -> Iterator[Relation]:
    """Relations that split rows in two levels: each row where that explains most, the rows with the clearest split."""
    present = target.weights > 0
    level = residual / np.where(present, target.weights, 1)
    mass = target.mass if target.gauge == "row" else target.mass * np.ones((len(residual), 1))
    if target.gauge == "row":
        order = np.argsort(np.where(present, -level, np.inf), 1, kind="stable")
        sums = np.cumsum(np.take_along_axis(target.weights, order, 1), 1)
        products = np.cumsum(np.take_along_axis(residual, order, 1), 1)
        norms = sums - sums**2 / np.where(mass == 0, 1, mass)
        visible = norms > 1e-12
        gains = np.where(visible, products**2 / np.where(visible, norms, 1), 0)
        cut = gains.argmax(1)
        strengths = np.take_along_axis(products / np.where(visible, norms, np.inf), cut[:, None], 1)[:, 0]
        inside = np.argsort(order, 1) <= cut[:, None]
        by_strength = np.argsort(-strengths, kind="stable")
        cut_products = np.cumsum(np.take_along_axis(products, cut[:, None], 1)[by_strength, 0])
        cut_norms = np.cumsum(np.take_along_axis(norms, cut[:, None], 1)[by_strength, 0])
        chosen = _prefix(by_strength, cut_products, cut_norms, len(residual))
        if chosen is None:
            return
        choices = [inside & present & chosen[:, None], ~inside & present & chosen[:, None]]
    else:
        flat = np.flatnonzero(present)
        by_level = flat[np.argsort(-level.ravel()[flat], kind="stable")]
        sums = np.cumsum(target.weights.ravel()[by_level])
        best = _prefix(by_level, np.cumsum(residual.ravel()[by_level]), sums - sums**2, residual.size)
        if best is None:
            return
        choices = [best.reshape(present.shape), ~best.reshape(present.shape) & present]
    for choice in choices:
        rows = np.flatnonzero(choice.any(1))
        members = [(target.rows.label(target.rows.ids[r]), members_of(target.columns, choice[r], ~present[r])) for r in rows]
        if members and sum(len(m) for _, m in members) <= TABLE_AT_MOST:
            yield Relation(tuple(members))


# Whole operators: strengths rounded, tables for the rest, other rows.


def _rounded(target: Target, terms: Primitives) -> Sum:
    """The sum of some primitives with the roundest strengths that are good enough, and in a gauge without constants, or with one."""
    features = np.array([target.feature(p) for p in terms])
    gram, products = features @ features.T, features @ target.goal
    fixed: list[float | None] = [None] * len(terms)
    strengths, left = _solve(gram, products, target.total, fixed)
    for done, i in enumerate(np.argsort(-np.abs(strengths) * np.sqrt(np.diag(gram)), kind="stable")):
        strengths, _ = _solve(gram, products, target.total, fixed)
        allowed = left * 1.05 + ROUNDING * target.total * (done + 1) / len(terms)
        for value in _rounder(float(strengths[i])):
            fixed[i] = value
            if value != 0 and _solve(gram, products, target.total, fixed)[1] <= allowed:
                break
    kept = tuple(Term(float(f), p) for f, p in zip(fixed, terms, strict=True) if f)
    return Sum(kept, _constant(target, Sum(kept)))


def _rounder(value: float) -> Iterator[float]:
    """A number ever less rounded."""
    for grid in GRIDS:
        yield round(round(value / grid) * grid, 2)
    yield round(value, DIGITS - 1 - int(np.floor(log10(abs(value))))) if value else 0.0


def _constant(target: Target, op: Sum) -> float:
    """The constant that an operator still needs: 0 where the gauge is free, or where 0 is good enough."""
    if target.gauge == "row":
        return 0.0
    needed = float((target.weights * (target.matrix - op.matrix(target.rows, target.columns))).sum())
    scale = max(target.total, 1e-2 * needed**2)
    for value in (0.0, *_rounder(needed)):
        if (value - needed) ** 2 <= ROUNDING * scale:
            return value
    return value


def _with_table(target: Target, terms: Primitives) -> Iterator[Sum]:
    """Some terms and a small table for what they leave."""
    if target.weights.size > SMALL:
        return
    base = _rounded(target, terms) if terms else Sum()
    base = Sum(base.terms)
    rest = target.matrix - base.matrix(target.rows, target.columns)
    largest = float(np.abs(smallest(rest, target.weights)).max())
    for tolerance in TABLE_TOLERANCES:
        entries = _sparse(target, rest, tolerance * largest)
        if 0 < np.count_nonzero(entries) <= TABLE_AT_MOST - base.numbers():
            op = Sum((*base.terms, Term(1.0, _table(target, entries))))
            yield Sum(op.terms, _constant(target, op))


def _sparse(target: Target, rest: Array, tolerance: float) -> Array:
    """The few entries of a matrix that are not within the tolerance of the common level, rounded no coarser than that."""
    shape = rest.shape if target.gauge == "row" else (1, rest.size)
    entries = sparsest(rest.reshape(shape), target.weights.reshape(shape), tolerance).reshape(rest.shape)
    entries[np.abs(entries) <= tolerance] = 0
    grid = next((g for g in GRIDS if g <= 2 * tolerance), 0.0)
    if grid:
        return np.round(np.round(entries / grid) * grid, 2)
    digits = DIGITS - int(np.ceil(np.log10(np.abs(entries).max(initial=1e-300))))
    return np.round(entries, digits)


def _table(target: Target, entries: Array) -> Entries | Rows:
    rows, columns = target.rows, target.columns
    by_row = tuple(
        (rows.label(rows.ids[r]), tuple((columns.label(columns.ids[c]), float(entries[r, c])) for c in np.flatnonzero(entries[r])))
        for r in np.flatnonzero(entries.any(1))
    )
    if rows.basis.size == 1:
        return Entries(by_row[0][1])
    if columns.basis.size == 1:
        return Entries(tuple((label, row[0][1]) for label, row in by_row))
    return Rows(by_row)


def _with_overrides(target: Target, paths: Sequence[Primitives]) -> Iterator[Except]:
    """Sums with the rows that they get most wrong replaced, each by a sum of its own."""
    tried = set()
    for terms in paths:
        if len(terms) > 2 or any(isinstance(p, Relation | And) for p in terms):  # which speak of single rows themselves
            continue
        by_row = (target.residual(terms) ** 2 / np.where(target.weights > 0, target.weights, 1)).sum(1)
        worst = np.argsort(-by_row, kind="stable")
        for count in range(1, OVERRIDES_AT_MOST + 1):
            chosen = tuple(sorted(int(row) for row in worst[:count]))
            clear = by_row[worst[:count]].sum() > 2 * count / len(by_row) * by_row.sum()
            if (chosen, terms[0]) in tried or not clear or (~target.free[0]).sum() <= count + 1:
                continue
            tried.add((chosen, terms[0]))
            others = target.without(np.isin(np.arange(len(by_row)), chosen))
            rows = [_one_row(target.row(r)) for r in chosen]
            for base in _grown(others, terms[:1]):
                for choice in range(len(rows[0])):
                    overrides = tuple((target.rows.label(target.rows.ids[r]), row[choice]) for r, row in zip(chosen, rows, strict=True))
                    yield Except(_rounded(others, base), overrides)


def _one_row(target: Target) -> tuple[Sum, Sum]:
    """A row as a sum: the shortest that is nearly right, and the shortest that is nearly as good as the best."""
    found = front([target.described(_rounded(target, terms)) for terms in _sets_of_terms(target)] + [target.described(Sum())])
    near, best = (next(d.op for d in found if d.error <= max(enough, found[-1].error)) for enough in (ROW_ERROR, ROUNDING))
    assert isinstance(near, Sum)
    assert isinstance(best, Sum)
    return near, best


def _hard(op: Symbolic) -> Symbolic:
    """The same with the strengths of `hard`."""
    if isinstance(op, Except):
        return Except(_hard_sum(op.base), tuple((label, _hard_sum(s)) for label, s in op.overrides))
    return _hard_sum(op)


def _hard_sum(op: Sum) -> Sum:
    return Sum(tuple(Term(np.sign(t.strength) * HARD, t.primitive) for t in op.terms if not isinstance(t.primitive, Rows | Entries)))
