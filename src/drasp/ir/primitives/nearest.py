"""The nearest column for which a predicate holds: `nearest(k > q)`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drasp.ir.axis import Array, Axis
from drasp.ir.primitives.comparison import ORDER, Comparison
from drasp.ir.primitives.difference import Difference
from drasp.ir.primitives.index import COLUMN, ROW
from drasp.ir.primitives.primitive import Names, Nouns, Predicate, Primitive, where
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import is_call
from drasp.ir.primitives.record import Asked, Ranked, Record


@dataclass(frozen=True)
class Nearest(Primitive):
    """`nearest(k > q)`: minus the distance of the two places where the predicate holds, minus the size of the column's basis elsewhere."""

    predicate: Predicate

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        distance = np.abs(Difference("row").values(rows, columns))
        near = self.predicate.matrix(rows, columns) & ~np.isnan(distance)
        return -np.where(near, distance, columns.basis.size)

    def text(self, names: Names) -> str:
        names.of("column")
        return f"nearest({self.predicate.text(names)})"

    def words(self, nouns: Nouns) -> str:
        return f"how near {nouns.column} is to {nouns.row} {where(self.predicate, nouns)}"

    def alone(self, nouns: Nouns, selecting: bool) -> str | None:
        return f"to the nearest key {where(self.predicate, nouns)}" if selecting else None

    def python(self, sides: PythonSides) -> str:
        return f"nearest({sides.place('row')}, {sides.place('column')}, {self.predicate.python(sides)})"

    def numbers(self) -> int:
        return self.predicate.numbers()


def _candidates(asked: Asked) -> Iterator[Ranked]:
    """Of attention between tokens alone: between positions the nearest one after or before is a fixed distance away."""
    tokens = asked.group == "query and key" and asked.columns.basis.kind == "token" and asked.columns.has_order
    for number, relation in enumerate(ORDER):
        if asked.group == "difference" or (tokens and relation in ("<", ">")):
            yield 2 + number if tokens else 4, Nearest(Comparison(COLUMN, relation, ROW))


HELPER = '''\
def nearest(rows, columns, allowed):
    """Minus the distance of the two places where that is allowed, minus the number of columns elsewhere."""
    distance = np.abs(rows - columns)
    return -np.where(allowed & ~np.isnan(distance), distance, columns.size)
'''

RECORDS = (
    Record(
        Nearest,
        shape="nearest(...)",
        reads=is_call("nearest"),
        parse=lambda reader, node: Nearest(reader.predicate(reader.only(node))),
        helpers={"nearest": HELPER},
        candidates=_candidates,
    ),
)
