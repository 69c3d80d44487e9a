"""Differences of places: `(q - k)`, `log(q - k)`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drasp.ir.axis import Array, Axis, Side
from drasp.ir.primitives.primitive import Names, Nouns, Primitive
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader, is_call
from drasp.ir.primitives.record import Asked, Ranked, Record


@dataclass(frozen=True)
class Difference(Primitive):
    """`(q - k)` or `(k - q)`: the difference of the two places; 0 where one is missing."""

    minuend: Side

    @property
    def subtrahend(self) -> Side:
        return "column" if self.minuend == "row" else "row"

    def values(self, rows: Axis, columns: Axis) -> Array:
        """The difference (rows, columns), NaN where it is undefined."""
        difference = rows.ranks[:, None] - columns.ranks[None, :]
        return difference if self.minuend == "row" else -difference

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return np.nan_to_num(self.values(rows, columns))

    def text(self, names: Names) -> str:
        return f"({names.of(self.minuend)} - {names.of(self.subtrahend)})"

    def words(self, nouns: Nouns) -> str:
        return f"how far {nouns.column} is {'before' if self.minuend == 'row' else 'after'} {nouns.row}"

    def python(self, sides: PythonSides) -> str:
        return sides.places(f"({self.python_values(sides)})", "row", "column")

    def python_values(self, sides: PythonSides) -> str:
        """`values` in exported Python."""
        return f"{sides.place(self.minuend)} - {sides.place(self.subtrahend)}"

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class Log(Primitive):
    """`log(q - k)`: the natural logarithm of a difference; 0 where that is not positive."""

    difference: Difference

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        values = self.difference.values(rows, columns)
        return np.log(np.where(values > 0, values, 1))

    def text(self, names: Names) -> str:
        return f"log{self.difference.text(names)}"

    def words(self, nouns: Nouns) -> str:
        return f"the logarithm of {self.difference.words(nouns)}"

    def python(self, sides: PythonSides) -> str:
        return f"logarithm({self.difference.python_values(sides)})"

    def numbers(self) -> int:
        return 0


BOTH = Difference("row"), Difference("column")


def _parse(reader: Reader, node: Node) -> Difference:
    if node.kind != "sum" or len(node.parts) != 3 or node[1].text != "-":
        raise reader.error(node, f"expected a difference of {reader.sides()}")
    first, second = reader.side(node[0]), reader.side(node[2])
    if first == second:
        raise reader.error(node[2], f"expected a difference of {reader.sides()}")
    return Difference(first)


def _difference_candidates(asked: Asked) -> Iterator[Ranked]:
    if asked.group == "difference":
        yield from ((2, difference) for difference in BOTH)


def _log_candidates(asked: Asked) -> Iterator[Ranked]:
    """Of attention between positions one only: what is after the query is seldom seen."""
    if asked.group == "difference":
        yield from ((3, Log(difference)) for difference in BOTH)
    elif asked.group == "query and key" and asked.columns.has_order:
        yield from ((10, Log(difference)) for difference in (BOTH[:1] if asked.columns.basis.kind == "position" else BOTH))


LOGARITHM = '''\
def logarithm(difference):
    """The natural logarithm; 0 where there is none."""
    return np.log(np.where(difference > 0, difference, 1))
'''

RECORDS = (
    Record(
        Difference,
        shape="a difference in parentheses",
        reads=lambda node: node.kind == "paren" and node[0].kind == "sum",
        parse=lambda reader, node: _parse(reader, node[0]),
        candidates=_difference_candidates,
    ),
    Record(
        Log,
        shape="log(...)",
        reads=is_call("log"),
        parse=lambda reader, node: Log(_parse(reader, reader.only(node))),
        helpers={"logarithm": LOGARITHM},
        candidates=_log_candidates,
    ),
)
