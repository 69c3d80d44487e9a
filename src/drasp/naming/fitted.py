"""Primitives made to fit what is left of a matrix: sets of rows and columns, and relations."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from drasp.ir.axis import Axis, Side
from drasp.ir.labels import Label, Range
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import And
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.primitive import Predicate, Primitive
from drasp.ir.primitives.tables import Relation
from drasp.naming.target import Target, row_sums_summed

Array = np.ndarray[Any, Any]


def fitted(target: Target, residual: Array) -> Iterator[Primitive]:
    """What would explain much of a residual: the best sets of rows and columns, and relations where the matrix is small.

    Args:
        residual: (rows, columns), what is left, times the weights.
    """
    different = {}
    for sign in (1, -1):
        for gain, rows, columns in _rectangles(target, sign * residual):
            different[rows.tobytes() + columns.tobytes()] = (gain, rows, columns)
    for _, rows, columns in sorted(different.values(), key=lambda found: -found[0])[: target.tuning.rectangles]:
        yield _rectangle(target, rows, columns)
    if residual.size <= target.tuning.small and len(residual) > 1:
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
    sums = row_sums_summed(np.cumsum(weights[:, order], 1), target.gauge)
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
        if members and sum(len(m) for _, m in members) <= target.tuning.table_at_most:
            yield Relation(tuple(members))


def members_of(axis: Axis, chosen: Array, free: Array) -> tuple[Label | Range, ...]:
    """The shortest way to write a set of coordinates: ranges where three or more follow each other.

    Args:
        chosen, free: booleans (coordinates), the set, and those that may as well be in it.
    """
    members: list[Label | Range] = []
    indices = np.flatnonzero(chosen)
    gaps = np.cumsum(~(chosen | free))
    runs = np.split(indices, np.flatnonzero(np.diff(gaps[indices])) + 1) if axis.basis.kind != "pair" else []
    for run in runs or indices[:, None]:
        if len(run) > 2:
            members.append(Range(axis.label(run[0]), axis.label(run[-1])))  # type: ignore[arg-type]
        else:
            members += [axis.label(index) for index in run]
    return tuple(members)


def _in_set(side: Side, axis: Axis, chosen: Array, free: Array) -> Predicate:
    """`k in S`, or `k == "a"` where that is all of S."""
    members = members_of(axis, chosen, free)
    if len(members) == 1 and not isinstance(members[0], Range):
        return Comparison(Index(side), "==", members[0])
    return Member(Index(side), members)


def _rectangle(target: Target, row_set: Array, column_set: Array) -> Primitive:
    """`q in S and k in T`, written as shortly as can be.

    A side whose set is everything that occurs is not mentioned; few pairs are written as a relation; and where the gauge makes a set
    and its complement the same but for the sign, it is the smaller of the two.

    Args:
        row_set, column_set: booleans (rows), (columns).
    """
    rows, columns, free = target.rows, target.columns, target.free
    every_row = bool((row_set | free[0]).all())
    sets = [column_set]
    if (target.gauge == "row" or every_row) and (~column_set & ~free[1]).any():
        sets.append(~column_set & ~free[1])
    forms: list[Primitive] = []
    for chosen in sets:
        parts = [] if every_row else [_in_set("row", rows, row_set, free[0])]
        if not (chosen | free[1]).all() or every_row:
            parts.append(_in_set("column", columns, chosen, free[1]))
        forms.append(And(tuple(parts)) if len(parts) == 2 else parts[0])
        if len(parts) == 2 and row_set.sum() <= target.tuning.relation_rows:
            members = members_of(columns, chosen, free[1])
            forms.append(Relation(tuple((rows.label(rows.ids[r]), members) for r in np.flatnonzero(row_set & ~free[0]))))
    return min(forms, key=lambda form: form.numbers())
