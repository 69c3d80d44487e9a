"""Places: `last` and `first`, the later or the earlier the more."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drasp.ir.axis import Array, Axis
from drasp.ir.primitives.primitive import Names, Nouns, Primitive
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import is_word
from drasp.ir.primitives.record import Asked, Ranked, Record


@dataclass(frozen=True)
class Last(Primitive):
    """`last`: the place of the column, so the later the more; 0 where there is none."""

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return np.nan_to_num(columns.ranks)[None, :]

    def text(self, names: Names) -> str:
        names.of("column")
        return "last"

    def words(self, nouns: Nouns) -> str:
        return f"the place of {nouns.column}"

    def python(self, sides: PythonSides) -> str:
        return sides.places(sides.place("column"), "column")

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class First(Primitive):
    """`first`: minus the place of the column."""

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return -Last().matrix(rows, columns)

    def text(self, names: Names) -> str:
        names.of("column")
        return "first"

    def words(self, nouns: Nouns) -> str:
        return f"minus {Last().words(nouns)}"

    def python(self, sides: PythonSides) -> str:
        return f"(-{Last().python(sides)})"

    def numbers(self) -> int:
        return 0


def _last_candidates(asked: Asked) -> Iterator[Ranked]:
    if (asked.group == "column" and asked.columns.has_order) or (asked.group == "key" and asked.columns.basis.kind == "position"):
        yield 2, Last()


def _first_candidates(asked: Asked) -> Iterator[Ranked]:
    """Of attention none: it is `last` with a negative strength."""
    if asked.group == "column" and asked.columns.has_order:
        yield 2, First()


RECORDS = (
    Record(Last, "last", is_word("last"), lambda reader, node: Last(), word="last", candidates=_last_candidates),
    Record(First, "first", is_word("first"), lambda reader, node: First(), word="first", candidates=_first_candidates),
)
