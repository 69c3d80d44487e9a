"""The dictionary of primitives from which an operator is named, in families.

All primitives of a family are functions of one thing: the column's coordinate, the row's, whether the two are the same, or the difference
of their places in the order. So a family is a small table instead of thousands of matrices. A table is read off the primitives' own
matrices, at one representative of each cell; to add a primitive, add it to a list here.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Axis, Side
from drasp.ir.basis import Basis
from drasp.ir.labels import Label, Range
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.difference import Difference, Log
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import And
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.nearest import Nearest
from drasp.ir.primitives.place import First, Last
from drasp.ir.primitives.record import Predicate, Primitive
from drasp.ir.primitives.tables import Relation
from drasp.naming.gauge import Gauge

Array = np.ndarray[Any, Any]

LARGEST_MODULUS = 12
ROWS_OF_RELATION = 8  # of a rectangle written as one
ROW, COLUMN = Index("row"), Index("column")


@dataclass(frozen=True)
class Family:
    """Primitives that are functions of one thing.

    Attributes:
        cells: (rows, columns), which value of that thing each pair has, from 0.
        primitives: in order of preference where two are the same on what occurs.
        table: (primitives, cells), what each primitive is there.
    """

    cells: Array
    primitives: tuple[Primitive, ...]
    table: Array

    @cached_property
    def numbers(self) -> Array:
        """(primitives), the free numbers of each with its strength."""
        return np.array([p.numbers() + 1 for p in self.primitives])


def families(rows: Axis, columns: Axis, gauge: Gauge) -> tuple[Family, ...]:
    """All families that fit two bases. What is the same in a whole row is left out where that is a gauge."""
    shape = (len(rows.ids), len(columns.ids))
    found = [_along("column", columns, rows, shape)]
    if gauge == "constant" and len(rows.ids) > 1:
        found.append(_along("row", rows, columns, shape))
    if len(rows.ids) > 1:
        if rows.basis == columns.basis:
            same = (rows.ids[:, None] == columns.ids[None, :]).astype(np.int64)
            found.append(Family(same, (Comparison(COLUMN, "==", ROW),), np.array([[0.0, 1.0]])))
        if has_order(rows) and has_order(columns):
            found.append(_differences(rows, columns))
    return tuple(family for family in found if family.primitives)


def only(axis: Axis, ids: Array) -> Axis:
    """The axis with some of its coordinates."""
    part = copy(axis)
    part.ids = ids
    return part


def has_order(axis: Axis) -> bool:
    """Whether some coordinates of a basis have a place in an order."""
    try:
        return bool((~np.isnan(axis.ranks)).any())
    except ProgramError:
        return False


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


def in_set(side: Side, axis: Axis, chosen: Array, free: Array) -> Predicate:
    """`k in S`, or `k == "a"` where that is all of S."""
    members = members_of(axis, chosen, free)
    if len(members) == 1 and not isinstance(members[0], Range):
        return Comparison(Index(side), "==", members[0])
    return Member(Index(side), members)


def rectangle(rows: Axis, columns: Axis, row_set: Array, column_set: Array, free: tuple[Array, Array], gauge: Gauge) -> Primitive:
    """`q in S and k in T`, written as shortly as can be.

    A side whose set is everything that occurs is not mentioned; few pairs are written as a relation; and where the gauge makes a set
    and its complement the same but for the sign, it is the smaller of the two.

    Args:
        row_set, column_set: booleans (rows), (columns).
        free: the coordinates of each side that do not occur.
    """
    every_row = bool((row_set | free[0]).all())
    sets = [column_set]
    if (gauge == "row" or every_row) and (~column_set & ~free[1]).any():
        sets.append(~column_set & ~free[1])
    forms: list[Primitive] = []
    for chosen in sets:
        parts = [] if every_row else [in_set("row", rows, row_set, free[0])]
        if not (chosen | free[1]).all() or every_row:
            parts.append(in_set("column", columns, chosen, free[1]))
        forms.append(And(tuple(parts)) if len(parts) == 2 else parts[0])
        if len(parts) == 2 and row_set.sum() <= ROWS_OF_RELATION:
            members = members_of(columns, chosen, free[1])
            forms.append(Relation(tuple((rows.label(rows.ids[r]), members) for r in np.flatnonzero(row_set & ~free[0]))))
    return min(forms, key=lambda form: form.numbers())


def _along(side: Side, axis: Axis, other: Axis, shape: tuple[int, int]) -> Family:
    """Functions of one side's coordinate."""
    here = Index(side)
    primitives: list[Primitive] = [Comparison(here, "==", axis.label(i)) for i in axis.ids]
    if has_order(axis):
        by_rank = [axis.label(i) for i in axis.ids[np.argsort(axis.ranks, kind="stable")][: _places(axis)]]
        primitives += [Comparison(here, relation, label) for relation in ("<", ">=") for label in by_rank[1:]]
        if side == "column":
            primitives += [Last(), First()]
        primitives += [
            Comparison(Index(side, 0, modulus), "==", remainder)
            for modulus in range(2, min(LARGEST_MODULUS, _places(axis) - 1) + 1)
            for remainder in range(modulus)
        ]
    one = only(other, other.ids[:1])
    table = np.array([_evaluated(p, *((axis, one) if side == "row" else (one, axis))).ravel() for p in primitives])
    numbered = np.arange(len(axis.ids))
    return Family(np.broadcast_to(numbered[:, None] if side == "row" else numbered[None, :], shape), tuple(primitives), table)


def _differences(rows: Axis, columns: Axis) -> Family:
    """Functions of the difference of the two places; the last cell is for pairs one of which has no place."""
    row_ranks, column_ranks = rows.ranks, columns.ranks
    places = (_places(rows), _places(columns))
    undefined = np.isnan(row_ranks)[:, None] | np.isnan(column_ranks)[None, :]
    cells = np.where(undefined, sum(places) - 1, np.nan_to_num(column_ranks[None, :] - row_ranks[:, None]) + places[0] - 1).astype(np.int64)
    primitives = _of_difference(places, rows.basis, columns.basis, bool(undefined.any()))
    first_row = only(rows, rows.ids[row_ranks == 0])
    first_column = only(columns, columns.ids[column_ranks == 0])
    ordered_rows = only(rows, rows.ids[np.argsort(-row_ranks, kind="stable")][: places[0] - 1])
    ordered_columns = only(columns, columns.ids[np.argsort(column_ranks, kind="stable")][: places[1]])
    parts: list[Callable[[Primitive], Array]] = [
        lambda p: _evaluated(p, ordered_rows, first_column).ravel(),
        lambda p: _evaluated(p, first_row, ordered_columns).ravel(),
    ]
    if undefined.any():
        row, column = np.argwhere(undefined)[0]
        lost_row, lost_column = only(rows, rows.ids[[row]]), only(columns, columns.ids[[column]])
        parts.append(lambda p: _evaluated(p, lost_row, lost_column).ravel())
    else:
        parts.append(lambda p: np.zeros(1))
    return Family(cells, tuple(primitives), np.array([np.concatenate([part(p) for part in parts]) for p in primitives]))


def _of_difference(places: tuple[int, int], rows: Basis, columns: Basis, undefined: bool) -> Sequence[Primitive]:
    lowest, highest = 1 - places[0], places[1] - 1
    shifts = range(lowest, highest + 1)
    primitives: list[Primitive] = [Comparison(COLUMN, relation, ROW) for relation in ("<", "<=", ">", ">=")]
    primitives += [Difference("row"), Difference("column"), Log(Difference("row")), Log(Difference("column"))]
    primitives += [Nearest(Comparison(COLUMN, relation, ROW)) for relation in ("<", "<=", ">", ">=")]
    if rows != columns:
        primitives.append(Comparison(COLUMN, "==", ROW))  # else it is that of coordinates, which a token without a place has too
    primitives += [Comparison(COLUMN, "==", Index("row", n)) for n in shifts if n != 0]
    primitives += [Comparison(COLUMN, "<=", Index("row", n)) for n in shifts if n not in (-1, 0, highest)]
    primitives += [Comparison(COLUMN, ">=", Index("row", n)) for n in shifts if n not in (0, 1, lowest)]
    if undefined:  # whatever has a place, against what has none
        primitives.append(Comparison(COLUMN, "<=", Index("row", highest)))
    primitives += [
        Comparison(Index("column", 0, modulus), "==", Index("row", remainder, modulus))
        for modulus in range(2, min(LARGEST_MODULUS, max(places) - 1) + 1)
        for remainder in range(modulus)
    ]
    return primitives


def _places(axis: Axis) -> int:
    """How many coordinates have a place in the order: it is 0, 1, ..."""
    return int((~np.isnan(axis.ranks)).sum())


def _evaluated(primitive: Primitive, rows: Axis, columns: Axis) -> Array:
    return np.broadcast_to(primitive.matrix(rows, columns), (len(rows.ids), len(columns.ids))).astype(np.float64)
