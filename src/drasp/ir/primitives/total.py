"""Sums of two places: `k + q == 9`, `(k + q) % 5 == 2`: the mirrored place, and addition."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis
from drasp.ir.primitives.primitive import Names, Nouns, Predicate
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader
from drasp.ir.primitives.record import Asked, Ranked, Record


@dataclass(frozen=True)
class Total(Predicate):
    """`k + q == 9`, `(k + q) % 5 == 2`: the places of column and row add up to a number; false where one is missing.

    Attributes:
        total: that number, or its remainder; not negative.
        modulo: of what the remainder is taken, at least 2; None for the sum itself.
    """

    total: int
    modulo: int | None = None

    def __post_init__(self) -> None:
        if self.total < 0:
            raise ProgramError(f"{self.total} is no sum of two places")
        if self.modulo is not None and self.modulo < 2:
            raise ProgramError(f"a modulus is at least 2, not {self.modulo}")
        if self.modulo is not None and self.total >= self.modulo:
            raise ProgramError(f"{self.total} is no remainder modulo {self.modulo}")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        sums = rows.ranks[:, None] + columns.ranks[None, :]
        if self.modulo is not None:
            with np.errstate(invalid="ignore"):
                sums = sums % self.modulo
        return sums == self.total

    def text(self, names: Names) -> str:
        return self._said(f"{names.of('column')} + {names.of('row')}")

    def words(self, nouns: Nouns) -> str:
        modulo = "" if self.modulo is None else f" modulo {self.modulo}"
        return f"{nouns.column} plus {nouns.row}{modulo} is {self.total}"

    def python(self, sides: PythonSides) -> str:
        return self._said(f"{sides.place('column')} + {sides.place('row')}")

    def numbers(self) -> int:
        return 1 + (self.modulo is not None)

    def _said(self, places: str) -> str:
        return f"{places} == {self.total}" if self.modulo is None else f"({places}) % {self.modulo} == {self.total}"


def _reads(node: Node) -> bool:
    """Whether a comparison has the sum of two names on its left."""
    if node.kind != "comparison" or node[1].text != "==":
        return False
    places, _ = _taken_apart(node[0])
    return places.kind == "sum" and [part.kind for part in places.parts[::2]] == ["name", "name"] and places[1].text == "+"


def _taken_apart(left: Node) -> tuple[Node, Node | None]:
    """The sum and the modulus of `k + q` or `(k + q) % 5`."""
    if left.kind == "product" and len(left.parts) == 3 and left[1].text == "%" and left[0].kind == "paren":
        return left[0][0], left[2]
    return left, None


def _parse(reader: Reader, node: Node) -> Total:
    places, modulo = _taken_apart(node[0])
    if reader.side(places[0]) == reader.side(places[2]):
        raise reader.error(places[2], f"expected the sum of {reader.sides().replace(' or ', ' and ')}")
    total = reader.integer(node[2])
    return reader.at(node[2], lambda: Total(total, None if modulo is None else reader.integer(modulo)))


def _candidates(asked: Asked) -> Iterator[Ranked]:
    """Of operators between few tokens that have an order, as where digits are added; of attention none.

    Between positions, whose ids start anywhere, a sum says little. No bundled model has such tokens: the tasks with an order have 150.
    """
    rows, columns = asked.rows, asked.columns
    if asked.group != "pair" or {rows.basis.kind, columns.basis.kind} != {"token"} or not (rows.has_order and columns.has_order):
        return
    for total in range(1, rows.places + columns.places - 2):  # at the ends it is but one pair
        yield 0, Total(total)
    for modulus in asked.moduli:
        if modulus <= max(rows.places, columns.places):
            for remainder in range(modulus):
                yield 1, Total(remainder, modulus)


RECORDS = (Record(Total, shape=None, reads=_reads, parse=_parse, candidates=_candidates),)
