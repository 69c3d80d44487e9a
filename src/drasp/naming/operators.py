"""Dense operators named: a short sum of primitives in place of a matrix.

Greedy regression on a dictionary of primitives: one term after the other, each time the primitive that explains the most of what is left
for the numbers it costs, weighted by how much each pair of coordinates matters and free of the gauge. After each, every other term may
change for a better one. What comes out is not one description but the few best, from the shortest to the most accurate: which of them is
good enough only the program's match can tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10
from typing import Any, Literal

import numpy as np

from drasp.ir.axis import Axis
from drasp.ir.labels import SPECIAL_TOKEN, Label
from drasp.ir.operators import HARD, Except, Sum, Symbolic, Term
from drasp.ir.primitives.logic import And
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.record import Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.naming.families import Family, families, members_of, only, rectangle
from drasp.naming.gauge import Gauge, centred, group_sums, smallest, sparsest

Array = np.ndarray[Any, Any]
Role = Literal["select", "project-softmax", "project-sets"]
Primitives = tuple[Primitive, ...]

TERMS_AT_MOST = 6
UNEXPLAINED = 5e-4  # 1 - weighted R squared at which nothing more is sought
LEAST_GAIN = 1e-3  # of R squared, by one more term
NUMBERS_WORTH = 20.0  # a term must divide what is unexplained by exp(its numbers / this)
FITTED_COST = 2.0  # the same for the numbers of a set or relation made to fit: it fits noise too
RECTANGLES = 3  # sets of rows and columns that are tried at a time
STARTS = 4  # first terms that are tried
SWAP_GAIN = 1e-3  # share of what is unexplained by which another term must be better
ROUNDING = 2.5e-4  # of R squared, lost by rounding all strengths
GRIDS = (1.0, 0.5, 0.1, 0.01)
DIGITS = 3  # significant ones, where no grid is fine enough
TABLE_AT_MOST = 40  # entries of a table, pairs of a relation
TERMS_WITH_TABLE = 2
TABLE_TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the largest entry: what a table leaves out
SMALL = 1600  # pairs of coordinates up to which relations and tables are tried
OVERRIDES_AT_MOST = 3
OVERRIDES_TRIED = 5  # sets of rows, each with the first term of the rest
ROW_ERROR = 0.02  # of a row that another sum is to replace, where that is to be short
TERM_COST = 0.5  # what a term adds to the length of a description, besides its numbers
LEAST_ERROR = 1e-4  # differences below it do not count


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


@dataclass(frozen=True)
class _Candidate:
    """A primitive, what it would explain, whether that is worth its numbers, and whether it was made to fit."""

    primitive: Primitive
    gain: float
    worth: float
    fitted: bool


class Target:
    """A matrix to be described: what of it no gauge can change, and how well primitives explain that.

    Attributes:
        matrix, weights: (rows, columns); the weights sum to 1.
        dictionary: the families of primitives that fit the two sides.
        best: the primitive to add to a set of terms, as far as it has been sought.
    """

    def __init__(self, matrix: Array, weights: Array, rows: Axis, columns: Axis, dictionary: tuple[Family, ...], gauge: Gauge) -> None:
        self.matrix = matrix.astype(np.float64)
        self.weights = weights / weights.sum()
        self.rows, self.columns = rows, columns
        self.dictionary = dictionary
        self.gauge: Gauge = gauge
        self.mass = group_sums(self.weights, gauge)
        self.free = (weights.max(1) <= 0, weights.max(0) <= 0)
        self._root = np.sqrt(self.weights)
        self._features: dict[Primitive, Array] = {}
        self._products: dict[Primitive, float] = {}
        self._grams: dict[tuple[Primitive, Primitive], float] = {}
        self._solved: dict[Primitives, tuple[Array, float]] = {}
        self.best: dict[tuple[frozenset[Primitive], bool], _Candidate | None] = {}
        self._crossed: dict[tuple[int, Primitive], Array] = {}
        self.goal = self._centred(self.matrix)
        self.total = float(self.goal @ self.goal)
        if self.total < 1e-20 * float(np.abs(self.matrix).max()) ** 2:  # all gauge, but for rounding errors
            self.goal, self.total = np.zeros_like(self.goal), 0.0

    def without(self, excluded: Array) -> "Target":
        """The same, some rows left out; the rest must have weight."""
        weights = np.where(excluded[:, None], 0, self.weights)
        return Target(self.matrix, weights, self.rows, self.columns, self.dictionary, self.gauge)

    def minus(self, op: Sum) -> "Target":
        """What an operator leaves."""
        matrix = self.matrix - op.matrix(self.rows, self.columns)
        return Target(matrix, self.weights, self.rows, self.columns, self.dictionary, self.gauge)

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

    def system(self, primitives: Primitives) -> tuple[Array, Array]:
        """The normal equations of some primitives' strengths: the products of their features with each other and with the goal."""
        for p in primitives:
            if p not in self._products:
                self._products[p] = float(self.feature(p) @ self.goal)
            for other in primitives:
                if (p, other) not in self._grams:
                    self._grams[p, other] = self._grams[other, p] = float(self.feature(p) @ self.feature(other))
        gram = np.array([self._grams[p, other] for p in primitives for other in primitives]).reshape(len(primitives), len(primitives))
        return gram, np.array([self._products[p] for p in primitives])

    def products(self, number: int, values: Array) -> Array:
        """The product of every primitive of a family with a matrix."""
        family = self.dictionary[number]
        return family.table @ np.bincount(family.cells.ravel(), values.ravel(), family.table.shape[1])

    def crossed(self, number: int, primitive: Primitive) -> Array:
        """The product of every feature of a family with that of one primitive."""
        if (number, primitive) not in self._crossed:
            self._crossed[number, primitive] = self.products(number, self.feature(primitive).reshape(self.weights.shape) * self._root)
        return self._crossed[number, primitive]

    def solve(self, primitives: Primitives) -> tuple[Array, float]:
        """The best strengths of some primitives, and what they leave unexplained."""
        if primitives not in self._solved:
            free = [None] * len(primitives)
            self._solved[primitives] = _solve(*self.system(primitives), self.total, free) if primitives else (np.zeros(0), self.total)
        return self._solved[primitives]

    def residual(self, primitives: Primitives) -> Array:
        """What is left of the matrix, without the gauge, times the weights: its product with a matrix is that matrix's gain."""
        rest = self.goal
        for strength, primitive in zip(self.solve(primitives)[0], primitives, strict=True):
            rest = rest - strength * self.feature(primitive)
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
        strengths[free] = np.linalg.lstsq(gram[free][:, free], wanted, rcond=1e-10)[0]
    return strengths, max(0.0, float(total - 2 * strengths @ products + strengths @ gram @ strengths))


# Which primitives: greedily, from several first terms.


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
    for start in _starts(_candidates(target, ())):
        grown = list(_grown(target, (start.primitive,), with_fitted=True))
        if any(isinstance(p, Member | And | Relation) for p in grown[-1]):
            grown += _grown(target, (start.primitive,), with_fitted=False)
        for terms in grown:
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


def _grown(target: Target, terms: Primitives, with_fitted: bool) -> Iterator[Primitives]:
    """One term after the other, the others exchanged for better ones each time; without primitives made to fit, or with them."""
    while True:
        yield terms
        _, left = target.solve(terms)
        if left < UNEXPLAINED * target.total or len(terms) == TERMS_AT_MOST:
            return
        best = _best(target, terms, with_fitted)
        if best is None or best.gain < LEAST_GAIN * target.total:
            return
        grown = (*terms, best.primitive)
        for i in range(len(terms)):
            others = grown[:i] + grown[i + 1 :]
            _, now = target.solve(grown)
            other = _best(target, others, with_fitted)
            if other is not None and target.solve((*others, other.primitive))[1] < (1 - SWAP_GAIN) * now:
                grown = (*grown[:i], other.primitive, *grown[i + 1 :])
        terms = grown


def _best(target: Target, terms: Primitives, with_fitted: bool) -> _Candidate | None:
    key = (frozenset(terms), with_fitted)
    if key not in target.best:
        candidates = _candidates(target, terms, with_fitted)
        target.best[key] = candidates[0] if candidates and candidates[0].worth > 0 else None
    return target.best[key]


def _without_least(target: Target, terms: Primitives) -> Primitives:
    """The terms without the one that explains least."""
    return min((terms[:i] + terms[i + 1 :] for i in range(len(terms))), key=lambda t: target.solve(t)[1], default=())


def _worth(gain: Array, left: float, numbers: Array) -> Array:
    """How much smaller a gain makes what is left, against the numbers it costs; rounded, so that equals are equal."""
    return np.round(-NUMBERS_WORTH * np.log(np.maximum(1 - gain / left, 1e-6)) - numbers, 6)


def _candidates(target: Target, terms: Primitives, with_fitted: bool = True) -> list[_Candidate]:
    """What would explain most besides some terms: the best of every family, and sets and relations made to fit; the best of all first.

    A gain is that of the primitive's part which the terms do not explain already (orthogonal least squares).
    """
    found: list[_Candidate] = []
    left = target.solve(terms)[1]
    if left <= 0:
        return found
    residual = target.residual(terms)
    gram, _ = target.system(terms)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    for number, family in enumerate(target.dictionary):
        products = target.products(number, residual)
        crossed = np.array([target.crossed(number, term) for term in terms]).reshape(len(terms), len(products))
        norms = target.norms[number] - (crossed * (inverse @ crossed)).sum(0)
        visible = norms > 1e-6 * target.norms[number]
        gains = np.where(visible, products**2 / np.where(visible, norms, 1), 0)
        worth = _worth(gains, left, family.numbers) + 0.01 * (products > 0)  # a positive strength reads better
        for i in np.argsort(-worth, kind="stable")[:2]:
            found.append(_Candidate(family.primitives[i], float(gains[i]), float(worth[i]), False))
    for primitive in dict.fromkeys(_fitted(target, residual) if with_fitted else ()):
        feature = target.feature(primitive)
        cross = np.array([target.feature(term) @ feature for term in terms])
        norm, product = (
            float(feature @ feature - cross @ inverse @ cross),
            float((primitive.matrix(target.rows, target.columns) * residual).sum()),
        )
        if norm > 1e-6 * float(feature @ feature):
            gain = product**2 / norm
            worth = float(_worth(np.array(gain), left, np.array(FITTED_COST * primitive.numbers() + 1))) + 0.01 * (product > 0)
            found.append(_Candidate(primitive, gain, worth, True))
    return sorted((c for c in found if c.primitive not in terms), key=lambda c: -c.worth)


# Primitives made to fit a residual: sets of rows and columns, and relations.


def _fitted(target: Target, residual: Array) -> Iterator[Primitive]:
    different = {}
    for sign in (1, -1):
        for gain, rows, columns in _rectangles(target, sign * residual):
            different[rows.tobytes() + columns.tobytes()] = (gain, rows, columns)
    for _, rows, columns in sorted(different.values(), key=lambda found: -found[0])[:RECTANGLES]:
        yield rectangle(target.rows, target.columns, rows, columns, target.free, target.gauge)
    if residual.size <= SMALL and len(residual) > 1:
        yield from _relations(target, residual)


def _rectangles(target: Target, residual: Array) -> Iterator[tuple[float, Array, Array]]:
    """Sets of rows and of columns such that the residual is high where both hold: their gain, booleans (rows) and (columns)."""
    seeds = [~target.free[0]]
    if len(residual) > 1:
        alone = residual**2 / np.where(target.weights > 0, target.weights, 1) * (residual > 0)
        seeds.append(np.arange(len(residual)) == alone.max(1).argmax())
        seeds.append(np.arange(len(residual)) == alone.sum(1).argmax())
    for rows in seeds:
        for _ in range(2):
            gain, columns = _best_columns(target, residual, rows)
            if gain == 0:
                break
            yield gain, rows, columns
            if len(residual) > 1:
                gain, rows = _best_rows(target, residual, columns)
                if gain == 0:
                    break
                yield gain, rows, columns


def _best_columns(target: Target, residual: Array, rows: Array) -> tuple[float, Array]:
    """The set of columns that explains most, taken in the order of their mean residual in some rows, and what it explains."""
    weights, mass = target.weights[rows], target.mass[rows] if target.gauge == "row" else target.mass
    by_column = weights.sum(0)
    present = np.flatnonzero(by_column > 0)
    products = residual[rows].sum(0)
    order = present[np.argsort(-products[present] / by_column[present], kind="stable")]
    sums = group_sums_of(np.cumsum(weights[:, order], 1), target.gauge)
    norms = (sums - sums**2 / np.where(mass == 0, 1, mass)).sum(0)
    return _prefix(order, np.cumsum(products[order]), norms, residual.shape[1])


def _best_rows(target: Target, residual: Array, columns: Array) -> tuple[float, Array]:
    """The set of rows that explains most together with some columns, and what it explains."""
    sums = target.weights[:, columns].sum(1)
    products = residual[:, columns].sum(1)
    norms = sums - sums**2 / np.where(target.mass[:, 0] == 0, 1, target.mass[:, 0]) if target.gauge == "row" else sums
    present = np.flatnonzero(norms > 1e-12)
    order = present[np.argsort(-products[present] / norms[present], kind="stable")]
    total = np.cumsum(norms[order])
    if target.gauge == "constant":
        total = total - total**2 / target.mass[0, 0]
    return _prefix(order, np.cumsum(products[order]), total, len(residual))


def _prefix(order: Array, products: Array, norms: Array, size: int) -> tuple[float, Array]:
    """The first so many of an order that explain most, as booleans (size), and what they explain."""
    chosen = np.zeros(size, dtype=bool)
    visible = (norms > 1e-12) & (products > 0)
    if not visible.any():
        return 0.0, chosen
    gains = np.where(visible, products**2 / np.where(visible, norms, 1), 0)
    best = int(gains.argmax())
    chosen[order[: best + 1]] = True
    return float(gains[best]), chosen


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
        _, chosen = _prefix(by_strength, cut_products, cut_norms, len(residual))
        choices = [inside & present & chosen[:, None], ~inside & present & chosen[:, None]]
    else:
        flat = np.flatnonzero(present)
        by_level = flat[np.argsort(-level.ravel()[flat], kind="stable")]
        sums = np.cumsum(target.weights.ravel()[by_level])
        _, best = _prefix(by_level, np.cumsum(residual.ravel()[by_level]), sums - sums**2, residual.size)
        choices = [best.reshape(present.shape), ~best.reshape(present.shape) & present] if best.any() else []
    for choice in choices:
        rows = np.flatnonzero(choice.any(1))
        members = [(target.rows.label(target.rows.ids[r]), members_of(target.columns, choice[r], ~present[r])) for r in rows]
        if members and sum(len(m) for _, m in members) <= TABLE_AT_MOST:
            yield Relation(tuple(members))


# Whole operators: strengths rounded, tables for the rest, other rows.


def _rounded(target: Target, terms: Primitives) -> Sum:
    """The sum of some primitives with the roundest strengths that are good enough, and in a gauge without constants, or with one."""
    gram, products = target.system(terms)
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
    if target.weights.size > SMALL or len(terms) > TERMS_WITH_TABLE or target.solve(terms)[1] < UNEXPLAINED * target.total:
        return
    base = _rounded(target, terms) if terms else Sum()
    base = Sum(base.terms)
    rest = target.matrix - base.matrix(target.rows, target.columns)
    largest = float(np.abs(smallest(rest, target.weights)).max())
    for tolerance in TABLE_TOLERANCES:
        entries = _sparse(target, rest, tolerance * largest)
        if 0 < np.count_nonzero(entries) <= TABLE_AT_MOST - base.numbers():
            table = Term(1.0, _table(target, entries))
            again = _rounded(target.minus(Sum((table,))), terms)
            yield Sum((*again.terms, table), again.constant)


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
    tried: dict[tuple[tuple[int, ...], Primitive], float] = {}
    special = [np.array([i]) for i, r in enumerate(target.rows.ids) if is_special(target.rows.label(r))]
    for terms in paths:
        by_row = (target.residual(terms) ** 2 / np.where(target.weights > 0, target.weights, 1)).sum(1)
        if any(isinstance(p, Relation | And) for p in terms) or by_row.sum() < UNEXPLAINED * target.total:
            continue  # the former speak of single rows themselves
        worst = np.argsort(-by_row, kind="stable")
        for chosen in [*(worst[:count] for count in range(1, OVERRIDES_AT_MOST + 1)), *special]:
            left = float(by_row.sum() - by_row[chosen].sum())
            clear = by_row[chosen].sum() > 2 * len(chosen) / len(by_row) * by_row.sum()
            if clear and (~target.free[0]).sum() > len(chosen) + 1:
                key = (tuple(sorted(int(row) for row in chosen)), terms[0])
                tried[key] = min(left, tried.get(key, left))
    described: dict[int, tuple[Sum, Sum]] = {}
    for rows, start in sorted(tried, key=lambda key: tried[key])[:OVERRIDES_TRIED]:
        described |= {r: _one_row(target.row(r)) for r in rows if r not in described}
        others = target.without(np.isin(np.arange(len(target.matrix)), rows))
        for base in _grown(others, (start,), True):
            for choice in range(2):
                overrides = tuple((target.rows.label(target.rows.ids[r]), described[r][choice]) for r in rows)
                yield Except(_rounded(others, base), overrides)


def is_special(label: Label) -> bool:
    """Whether a coordinate is a special token, written `<word>`."""
    return isinstance(label, str) and SPECIAL_TOKEN.fullmatch(label) is not None


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
