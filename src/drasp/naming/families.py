"""The dictionary of primitives from which an operator is named, in families.

All primitives of a family are functions of one thing: the column's coordinate, the row's, whether the two are the same, the difference
of their places in the order, or, where they are few, both coordinates. So a family is a small table instead of thousands of matrices. A
table is read off the primitives' own matrices, at one representative of each cell. Which primitives there are, their records say.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from drasp.ir.axis import Axis
from drasp.ir.primitives import candidates
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.record import Asked, Group
from drasp.naming.gauge import Gauge
from drasp.naming.tuning import OperatorTuning

Array = np.ndarray[Any, Any]
Cells = tuple[Array, Callable[[Primitive], Array]]
"""The cells of a family, and how a primitive's values there are found."""


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


def families(rows: Axis, columns: Axis, gauge: Gauge, tuning: OperatorTuning) -> tuple[Family, ...]:
    """All families that fit two bases. What is the same in a whole row is left out where that is a gauge."""
    groups: list[Group] = ["column"]
    if len(rows.ids) > 1:
        groups += ["row"] * (gauge == "constant")
        groups += ["same"] * (rows.basis == columns.basis)
        groups += ["difference"] * (rows.has_order and columns.has_order)
        groups += ["pair"] * (len(rows.ids) * len(columns.ids) <= tuning.small)
    found = []
    for group in groups:
        primitives = tuple(candidates(Asked(group, rows, columns, tuning.moduli)))
        if primitives:
            cells, values = _CELLS[group](rows, columns)
            found.append(Family(cells, primitives, np.array([values(primitive) for primitive in primitives])))
    return tuple(found)


def only(axis: Axis, ids: Array) -> Axis:
    """The axis with some of its coordinates."""
    part = copy(axis)
    part.ids = ids
    return part


def _of_columns(rows: Axis, columns: Axis) -> Cells:
    one = only(rows, rows.ids[:1])
    cells = np.broadcast_to(np.arange(len(columns.ids))[None, :], (len(rows.ids), len(columns.ids)))
    return cells, lambda primitive: _evaluated(primitive, one, columns).ravel()


def _of_rows(rows: Axis, columns: Axis) -> Cells:
    one = only(columns, columns.ids[:1])
    cells = np.broadcast_to(np.arange(len(rows.ids))[:, None], (len(rows.ids), len(columns.ids)))
    return cells, lambda primitive: _evaluated(primitive, rows, one).ravel()


def _of_sameness(rows: Axis, columns: Axis) -> Cells:
    """Cell 1 is for pairs of the same coordinate."""
    cells = (rows.ids[:, None] == columns.ids[None, :]).astype(np.int64)
    one, two = only(rows, rows.ids[:1]), only(columns, columns.ids[:2])
    return cells, lambda primitive: _evaluated(primitive, one, two)[0, ::-1]


def _of_differences(rows: Axis, columns: Axis) -> Cells:
    """The last cell is for pairs one of which has no place."""
    row_ranks, column_ranks = rows.ranks, columns.ranks
    places = (rows.places, columns.places)
    undefined = np.isnan(row_ranks)[:, None] | np.isnan(column_ranks)[None, :]
    cells = np.where(undefined, sum(places) - 1, np.nan_to_num(column_ranks[None, :] - row_ranks[:, None]) + places[0] - 1).astype(np.int64)
    first_row = only(rows, rows.ids[row_ranks == 0])
    first_column = only(columns, columns.ids[column_ranks == 0])
    ordered_rows = only(rows, rows.ids[np.argsort(-row_ranks, kind="stable")][: places[0] - 1])
    ordered_columns = only(columns, columns.ids[np.argsort(column_ranks, kind="stable")][: places[1]])
    row, column = np.argwhere(undefined)[0] if undefined.any() else (0, 0)
    lost_row, lost_column = only(rows, rows.ids[[row]]), only(columns, columns.ids[[column]])

    def values(primitive: Primitive) -> Array:
        parts = [_evaluated(primitive, ordered_rows, first_column), _evaluated(primitive, first_row, ordered_columns)]
        parts.append(_evaluated(primitive, lost_row, lost_column) if undefined.any() else np.zeros(1))
        return np.concatenate([part.ravel() for part in parts])

    return cells, values


def _of_pairs(rows: Axis, columns: Axis) -> Cells:
    cells = np.arange(len(rows.ids) * len(columns.ids)).reshape(len(rows.ids), -1)
    return cells, lambda primitive: _evaluated(primitive, rows, columns).ravel()


_CELLS: dict[Group, Callable[[Axis, Axis], Cells]] = {
    "column": _of_columns,
    "row": _of_rows,
    "same": _of_sameness,
    "difference": _of_differences,
    "pair": _of_pairs,
}


def _evaluated(primitive: Primitive, rows: Axis, columns: Axis) -> Array:
    return np.broadcast_to(primitive.matrix(rows, columns), (len(rows.ids), len(columns.ids))).astype(np.float64)
