"""Dense operators named: a short sum of primitives in place of a matrix.

Orthogonal least squares (Chen, Billings and Luo 1989; orthogonal matching pursuit but for the norm of the candidates) on the dictionary of
primitives: one term after the other, each time the primitive that explains the most of what is left for the numbers it costs, weighted by
how much each pair of coordinates matters and free of the gauge. After each, every other term may change for a better one. What comes out is
not one description but the few best, from the shortest to the most accurate: which of them is good enough only the program's match can
tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import log10
from typing import Any

import numpy as np

from drasp.ir.labels import is_special
from drasp.ir.operators import Except, Sum, Symbolic, Term
from drasp.ir.primitives.logic import And
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.naming.fitted import fitted
from drasp.naming.gauge import smallest, sparsest
from drasp.naming.target import Candidate, Described, Primitives, Sides, Target, solve
from drasp.naming.tuning import OperatorTuning

Array = np.ndarray[Any, Any]


def describe(matrix: Array, weights: Array, sides: Sides) -> list[Described]:
    """Symbolic operators for a matrix, from the shortest to the most accurate; none is both longer and worse than another.

    Args:
        matrix: (rows, columns), the scores or logits.
        weights: the same shape, >= 0: how much each pair matters. A pair of weight 0 has no influence.
    """
    if not weights.any():
        return [Described(Sum(), 0.0, 1)]
    target = Target(matrix, weights, sides)
    return front([target.described(op) for op in _operators(target)], sides.tuning)


def front(found: Iterable[Described], tuning: OperatorTuning) -> list[Described]:
    """Those than which none is shorter and about as accurate, from the shortest to the most accurate: longer ones must be worth it."""
    kept: list[Described] = []
    for one in sorted(found, key=lambda d: (length(d, tuning), d.error)):
        saved = length(kept[-1], tuning) - length(one, tuning) if kept else 0.0
        if not kept or one.error < kept[-1].error * np.exp(saved / tuning.numbers_worth) - tuning.least_error:
            kept.append(one)
    return kept


def length(described: Described, tuning: OperatorTuning) -> float:
    """What descriptions are ordered by: the numbers, and a little for each term."""
    return described.numbers + tuning.term_cost * described.terms


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
    for start in _starts(target):
        grown = list(_grown(target, (start.primitive,), with_fitted=True))
        if any(isinstance(p, Member | And | Relation) for p in grown[-1]):
            grown += _grown(target, (start.primitive,), with_fitted=False)
        for terms in grown:
            while terms and terms not in found:
                found[terms] = None
                terms = _without_least(target, terms)
    return list(found)


def _starts(target: Target) -> list[Candidate]:
    """The best candidates that differ: not two that explain the same, nor more than half of them made to fit."""
    starts: list[Candidate] = []
    for candidate in _candidates(target, ()):
        same = any(abs(candidate.gain - other.gain) < 1e-9 * other.gain for other in starts)
        crowded = candidate.fitted and sum(other.fitted for other in starts) == target.tuning.starts // 2
        if not same and not crowded and len(starts) < target.tuning.starts:
            starts.append(candidate)
    return starts


def _grown(target: Target, terms: Primitives, with_fitted: bool) -> Iterator[Primitives]:
    """One term after the other, the others exchanged for better ones each time; without primitives made to fit, or with them."""
    while True:
        yield terms
        _, left = target.solve(terms)
        if left < target.tuning.unexplained * target.total or len(terms) == target.tuning.terms:
            return
        best = _best(target, terms, with_fitted)
        if best is None or best.gain < target.tuning.least_gain * target.total:
            return
        grown = (*terms, best.primitive)
        for i in range(len(terms)):
            others = grown[:i] + grown[i + 1 :]
            _, now = target.solve(grown)
            other = _best(target, others, with_fitted)
            if other is not None and target.solve((*others, other.primitive))[1] < (1 - target.tuning.swap_gain) * now:
                grown = (*grown[:i], other.primitive, *grown[i + 1 :])
        terms = grown


def _best(target: Target, terms: Primitives, with_fitted: bool) -> Candidate | None:
    key = (frozenset(terms), with_fitted)
    if key not in target.best:
        candidates = _candidates(target, terms, with_fitted)
        target.best[key] = candidates[0] if candidates and candidates[0].worth > 0 else None
    return target.best[key]


def _without_least(target: Target, terms: Primitives) -> Primitives:
    """The terms without the one that explains least."""
    return min((terms[:i] + terms[i + 1 :] for i in range(len(terms))), key=lambda t: target.solve(t)[1], default=())


def _worth(target: Target, gain: Array, left: float, numbers: Array) -> Array:
    """How much smaller a gain makes what is left, against the numbers it costs; rounded, so that equals are equal."""
    return np.round(-target.tuning.numbers_worth * np.log(np.maximum(1 - gain / left, 1e-6)) - numbers, 6)


def _candidates(target: Target, terms: Primitives, with_fitted: bool = True) -> list[Candidate]:
    """What would explain most besides some terms: the best of every family, and sets and relations made to fit; the best of all first.

    A gain is that of the primitive's part which the terms do not explain already (orthogonal least squares).
    """
    found: list[Candidate] = []
    tuning, left = target.tuning, target.solve(terms)[1]
    if left <= 0:
        return found
    residual = target.residual(terms)
    gram, _ = target.system(terms)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    for number, family in enumerate(target.sides.dictionary):
        products = target.products(number, residual)
        crossed = np.array([target.crossed(number, term) for term in terms]).reshape(len(terms), len(products))
        norms = target.norms[number] - (crossed * (inverse @ crossed)).sum(0)
        visible = norms > 1e-6 * target.norms[number]
        gains = np.where(visible, products**2 / np.where(visible, norms, 1), 0)
        worth = _worth(target, gains, left, family.numbers) + tuning.positive_worth * (products > 0)
        for i in np.argsort(-worth, kind="stable")[: tuning.of_each_family]:
            found.append(Candidate(family.primitives[i], float(gains[i]), float(worth[i]), False))
    for primitive in dict.fromkeys(fitted(target, residual) if with_fitted else ()):
        feature = target.feature(primitive)
        cross = np.array([target.feature(term) @ feature for term in terms])
        norm, product = (
            float(feature @ feature - cross @ inverse @ cross),
            float((primitive.matrix(target.rows, target.columns) * residual).sum()),
        )
        if norm > 1e-6 * float(feature @ feature):
            gain = product**2 / norm
            worth = float(_worth(target, np.array(gain), left, np.array(tuning.fitted_cost * primitive.numbers() + 1)))
            worth += tuning.positive_worth * (product > 0)
            found.append(Candidate(primitive, gain, worth, True))
    return sorted((c for c in found if c.primitive not in terms), key=lambda c: -c.worth)


# Whole operators: strengths rounded, tables for the rest, other rows.


def _rounded(target: Target, terms: Primitives) -> Sum:
    """The sum of some primitives with the roundest strengths that are good enough, and in a gauge without constants, or with one."""
    gram, products = target.system(terms)
    fixed: list[float | None] = [None] * len(terms)
    strengths, left = solve(gram, products, target.total, fixed)
    for done, i in enumerate(np.argsort(-np.abs(strengths) * np.sqrt(np.diag(gram)), kind="stable")):
        strengths, _ = solve(gram, products, target.total, fixed)
        allowed = left * target.tuning.rounding_slack + target.tuning.rounding * target.total * (done + 1) / len(terms)
        for value in _rounder(float(strengths[i]), target.tuning):
            fixed[i] = value
            if value != 0 and solve(gram, products, target.total, fixed)[1] <= allowed:
                break
    kept = tuple(Term(float(f), p) for f, p in zip(fixed, terms, strict=True) if f)
    return Sum(kept, _constant(target, Sum(kept)))


def _rounder(value: float, tuning: OperatorTuning) -> Iterator[float]:
    """A number ever less rounded."""
    for grid in tuning.grids:
        yield round(round(value / grid) * grid, 2)
    yield round(value, tuning.digits - 1 - int(np.floor(log10(abs(value))))) if value else 0.0


def _constant(target: Target, op: Sum) -> float:
    """The constant that an operator still needs: 0 where the gauge is free, or where 0 is good enough."""
    if target.gauge == "row":
        return 0.0
    needed = float((target.weights * (target.matrix - op.matrix(target.rows, target.columns))).sum())
    scale = max(target.total, 1e-2 * needed**2)
    for value in (0.0, *_rounder(needed, target.tuning)):
        if (value - needed) ** 2 <= target.tuning.rounding * scale:
            return value
    return value


def _with_table(target: Target, terms: Primitives) -> Iterator[Sum]:
    """Some terms and a small table for what they leave."""
    tuning = target.tuning
    if target.weights.size > tuning.small or len(terms) > tuning.terms_with_table:
        return
    if target.solve(terms)[1] < tuning.unexplained * target.total:
        return
    base = _rounded(target, terms) if terms else Sum()
    base = Sum(base.terms)
    rest = target.matrix - base.matrix(target.rows, target.columns)
    largest = float(np.abs(smallest(rest, target.weights)).max())
    for tolerance in tuning.table_tolerances:
        entries = _sparse(target, rest, tolerance * largest)
        if 0 < np.count_nonzero(entries) <= tuning.table_at_most - base.numbers():
            table = Term(1.0, _table(target, entries))
            again = _rounded(target.minus(Sum((table,))), terms)
            yield Sum((*again.terms, table), again.constant)


def _sparse(target: Target, rest: Array, tolerance: float) -> Array:
    """The few entries of a matrix that are not within the tolerance of the common level, rounded no coarser than that."""
    shape = rest.shape if target.gauge == "row" else (1, rest.size)
    entries = sparsest(rest.reshape(shape), target.weights.reshape(shape), tolerance).reshape(rest.shape)
    entries[np.abs(entries) <= tolerance] = 0
    grid = next((g for g in target.tuning.grids if g <= 2 * tolerance), 0.0)
    if grid:
        return np.round(np.round(entries / grid) * grid, 2)
    digits = target.tuning.digits - int(np.ceil(np.log10(np.abs(entries).max(initial=1e-300))))
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
        if any(isinstance(p, Relation | And) for p in terms) or by_row.sum() < target.tuning.unexplained * target.total:
            continue  # the former speak of single rows themselves
        worst = np.argsort(-by_row, kind="stable")
        for chosen in [*(worst[:count] for count in range(1, target.tuning.overrides + 1)), *special]:
            left = float(by_row.sum() - by_row[chosen].sum())
            clear = by_row[chosen].sum() > 2 * len(chosen) / len(by_row) * by_row.sum()
            if clear and (~target.free[0]).sum() > len(chosen) + 1:
                key = (tuple(sorted(int(row) for row in chosen)), terms[0])
                tried[key] = min(left, tried.get(key, left))
    described: dict[int, tuple[Sum, Sum]] = {}
    for rows, start in sorted(tried, key=lambda key: tried[key])[: target.tuning.overrides_tried]:
        described |= {r: _one_row(target.row(r)) for r in rows if r not in described}
        others = target.without(np.isin(np.arange(len(target.matrix)), rows))
        for base in _grown(others, (start,), True):
            for choice in range(2):
                overrides = tuple((target.rows.label(target.rows.ids[r]), described[r][choice]) for r in rows)
                yield Except(_rounded(others, base), overrides)


def _one_row(target: Target) -> tuple[Sum, Sum]:
    """A row as a sum: the shortest that is nearly right, and the shortest that is nearly as good as the best."""
    tuning = target.tuning
    found = front([target.described(op) for op in (*(_rounded(target, terms) for terms in _sets_of_terms(target)), Sum())], tuning)
    near, best = (next(d.op for d in found if d.error <= max(enough, found[-1].error)) for enough in (tuning.row_error, tuning.rounding))
    assert isinstance(near, Sum)
    assert isinstance(best, Sum)
    return near, best
