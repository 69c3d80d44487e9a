"""Axes: a basis as one side of a matrix."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.basis import NAMED, Basis
from drasp.ir.labels import Label, Range, label_text, member_text

Array = np.ndarray[Any, Any]
Side = Literal["row", "column"]
Names = Mapping[str, tuple[str, ...]]
"""Those of the coordinates by the kind of a basis, "token" or "output"."""


class Axis:
    """One side of a matrix: the coordinates of a basis, what each is called, and their order.

    Attributes:
        basis: whose coordinates they are.
        ids: their indices: all of them, or none where an operator is only to be checked.

    Args:
        names: of tokens, or of outputs.
    """

    def __init__(self, basis: Basis, names: Names, order: tuple[str, ...] | None, empty: bool = False) -> None:
        self.basis = basis
        self._empty = empty
        self._all_names = names
        self._order = order

    @cached_property
    def ids(self) -> Array:
        return np.arange(0 if self._empty else self.basis.size)

    def part(self, number: int) -> "Axis":
        """The axis of one part of a pair."""
        return Axis(self.basis.parts[number], self._all_names, self._order)

    @property
    def _names(self) -> tuple[str, ...]:
        return self._all_names[self.basis.kind]

    @property
    def identities(self) -> Array:
        """What plain equality compares with a token or an output: names, where the coordinates have any, else their indices."""
        return np.array(self._names)[self.ids] if self.basis.kind in NAMED else self.ids

    def index(self, label: Label) -> int:
        """Where a coordinate is.

        Raises:
            ProgramError: the basis has no such coordinate.
        """
        kind, size = self.basis.kind, self.basis.size
        if kind in NAMED:
            if not isinstance(label, str):
                what = "token: a token" if kind == "token" else "output: an output"
                raise ProgramError(f"{label_text(label)} is no {what} is written as a string")
            if label not in self._names:
                where = "in the vocabulary" if kind == "token" else "one of the outputs"
                raise ProgramError(f"{kind} {label_text(label)} is not {where}")
            return self._names.index(label)
        if kind == "pair":
            if not isinstance(label, tuple):
                raise ProgramError(f"{label_text(label)} is no coordinate of {self.basis}: a pair is written (x, y)")
            return self.part(0).index(label[0]) * self.basis.parts[1].size + self.part(1).index(label[1])
        if not isinstance(label, int) or not 0 <= label < size:
            raise ProgramError(f"{label_text(label)} is no coordinate of {self.basis}: they are 0..{size - 1}")
        return label

    def label(self, index: int | np.integer[Any]) -> Label:
        """How a coordinate is written: the inverse of `index`."""
        if self.basis.kind in NAMED:
            return self._names[int(index)]
        if self.basis.kind == "pair":
            first, second = divmod(int(index), self.basis.parts[1].size)
            return (self.part(0).label(first), self.part(1).label(second))
        return int(index)

    def indices(self, members: Sequence[Label | Range]) -> list[int]:
        """Where the members of a set are."""
        found: list[int] = []
        for member in members:
            if isinstance(member, Range):
                first, last = self.index(member.first), self.index(member.last)
                if first > last:
                    raise ProgramError(f"the range {member_text(member)} ends before it starts")
                found += range(first, last + 1)
            else:
                found.append(self.index(member))
        return found

    def rank(self, label: Label) -> float:
        """The place of a coordinate in the order of its basis."""
        index = self.index(label)
        rank = float(self._all_ranks[index])
        if np.isnan(rank):
            raise ProgramError(f"token {label_text(label)} is not in the order")
        return rank

    @property
    def ranks(self) -> Array:
        """The place of every coordinate in the order of its basis: float, NaN where it has none."""
        return self._all_ranks[self.ids]

    @cached_property
    def _all_ranks(self) -> Array:
        if self.basis.kind in ("pair", "residual", "output"):
            raise ProgramError(f"the coordinates of {self.basis} have no order")
        if self.basis.kind != "token":
            return np.arange(self.basis.size, dtype=np.float64)
        if self._order is None:
            raise ProgramError("tokens have no order here: the header needs an order line")
        place = {token: float(i) for i, token in enumerate(self._order)}
        return np.array([place.get(token, np.nan) for token in self._names])

    @property
    def has_order(self) -> bool:
        """Whether some of the coordinates have a place in an order."""
        if self.basis.kind in ("pair", "residual", "output") or (self.basis.kind == "token" and self._order is None):
            return False
        return self.places > 0

    @property
    def places(self) -> int:
        """How many of the coordinates have a place in the order."""
        return int((~np.isnan(self.ranks)).sum())

    @property
    def labels(self) -> list[Label]:
        """All coordinates as they are written."""
        return [self.label(index) for index in self.ids]

    @property
    def in_order(self) -> list[Label]:
        """Those that have a place, in their order."""
        return [self.label(index) for index in self.ids[np.argsort(self.ranks, kind="stable")][: self.places]]


def along(side: Side, values: Array) -> Array:
    """Values of one side's coordinates as part of a matrix (rows, columns)."""
    return values[:, None] if side == "row" else values[None, :]
