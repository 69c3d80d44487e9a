"""Comparisons: `k == q - 1`, `k < q`, `k % 3 == q % 3`, `k == "a"`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, Side, along
from drasp.ir.basis import NAMED
from drasp.ir.labels import Label, label_text
from drasp.ir.primitives.index import COLUMN, ROW, Index, read_index
from drasp.ir.primitives.primitive import Names, Nouns, Predicate
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader
from drasp.ir.primitives.record import Asked, Ranked, Record

COMPARISONS: dict[str, Callable[[Array, Any], Array]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
COMPARISON_WORDS = {"==": "is", "!=": "is not", "<": "is before", "<=": "is at or before", ">": "is after", ">=": "is at or after"}
ORDER = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Comparison(Predicate):
    """`k == q - 1`, `k < q`, `k % 3 == q % 3`, `k == "a"`.

    Plain equality is that of coordinates and needs no order. All else compares places in the order; a token outside it compares false.
    """

    left: Index
    relation: str
    right: Index | Label

    def __post_init__(self) -> None:
        if self.relation not in COMPARISONS:
            raise ProgramError(f"{self.relation} is no comparison")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        compare = COMPARISONS[self.relation]
        axis = self.left.axis(rows, columns)
        identity = self.relation in ("==", "!=") and self.left.plain
        if not isinstance(self.right, Index):
            if identity:
                return along(self.left.side, compare(axis.ids, axis.index(self.right)))
            left, right = self.left.values(rows, columns), np.array(self.left.value(self.right, rows, columns))
        else:
            other = self.right.axis(rows, columns)
            if identity and self.right.plain and (axis.basis == other.basis or {axis.basis.kind, other.basis.kind} == set(NAMED)):
                return compare(along(self.left.side, axis.identities), along(self.right.side, other.identities))
            left, right = self.left.values(rows, columns), self.right.values(rows, columns)
        return compare(left, right) & ~np.isnan(left) & ~np.isnan(right)

    def text(self, names: Names) -> str:
        right = self.right.text(names) if isinstance(self.right, Index) else label_text(self.right)
        return f"{self.left.text(names)} {self.relation} {right}"

    def words(self, nouns: Nouns) -> str:
        right = self.right.words(nouns) if isinstance(self.right, Index) else label_text(self.right)
        return f"{self.left.words(nouns)} {COMPARISON_WORDS[self.relation]} {right}"

    def brief(self, nouns: Nouns) -> str | None:
        """The columns for which it holds, where they have a short name: "the previous position", "token <bos>"."""
        if self.left != COLUMN or self.relation != "==":
            return None
        if self.right == ROW:
            return nouns.equal
        if nouns.thing is None:
            return None
        if not isinstance(self.right, Index):
            return f"{nouns.thing} {label_text(self.right)}"
        if self.right.side == "column" or self.right.modulo is not None:
            return None
        if abs(self.right.shift) == 1:
            return f"the {'next' if self.right.shift > 0 else 'previous'} {nouns.thing}"
        return f"the {nouns.thing} {abs(self.right.shift)} {'after' if self.right.shift > 0 else 'before'}"

    def python(self, sides: PythonSides) -> str:
        left, right, relation = self.left, self.right, self.relation
        name = sides.names[left.side]
        if relation in ("==", "!=") and left.plain:  # of coordinates
            if not isinstance(right, Index):
                return f"{name} {relation} {sides.label(right, left.side)}"
            if right.plain and sides.bases[left.side] == sides.bases[right.side]:
                return f"{name} {relation} {sides.names[right.side]}"
            if right.plain and {sides.bases[left.side].kind, sides.bases[right.side].kind} == set(NAMED):
                return f"{sides.called(left.side)} {relation} {sides.called(right.side)}"
        first = left.python(sides)
        second = right.python(sides) if isinstance(right, Index) else left.python_value(right, sides)
        if relation == "!=" and (sides.has_places(left.side) or (isinstance(right, Index) and sides.has_places(right.side))):
            return f"unlike({first}, {second})"
        return f"{first} {relation} {second}"

    def numbers(self) -> int:
        return self.left.numbers() + (self.right.numbers() if isinstance(self.right, Index) else 1)


def _parse(reader: Reader, node: Node) -> Comparison:
    left, relation, right = node.parts
    index = read_index(reader, left)
    other = reader.label(right) if right.kind in ("token", "number", "pair") else read_index(reader, right)
    return Comparison(index, relation.text, other)


def _candidates(asked: Asked) -> Iterator[Ranked]:
    if asked.group in ("column", "row"):
        yield from _of_one_side("row" if asked.group == "row" else "column", asked)
    elif asked.group == "same":
        yield 0, Comparison(COLUMN, "==", ROW)
    elif asked.group == "difference":
        yield from _of_difference(asked)
    elif asked.group == "query and key":
        yield from _of_attention(asked)


def _of_one_side(side: Side, asked: Asked) -> Iterator[Ranked]:
    """`k == "a"`, `k < 3`, `k % 2 == 0`."""
    here, axis = Index(side), asked.rows if side == "row" else asked.columns
    for label in axis.labels:
        yield 0, Comparison(here, "==", label)
    if not axis.has_order:
        return
    for relation in ("<", ">="):
        for label in axis.in_order[1:]:
            yield 1, Comparison(here, relation, label)
    for modulus in asked.moduli:
        if modulus < axis.places:
            for remainder in range(modulus):
                yield 3, Comparison(Index(side, 0, modulus), "==", remainder)


def _of_difference(asked: Asked) -> Iterator[Ranked]:
    """`k < q`, `k == q - 2`, `k <= q - 2`, `k % 2 == q % 2`."""
    places = asked.rows.places, asked.columns.places
    lowest, highest = 1 - places[0], places[1] - 1
    shifts = range(lowest, highest + 1)
    for relation in ORDER:
        yield 1, Comparison(COLUMN, relation, ROW)
    if asked.rows.basis != asked.columns.basis:
        yield 5, Comparison(COLUMN, "==", ROW)  # else it is that of coordinates, which a token without a place has too
    for relation, left_out in (("==", (0,)), ("<=", (-1, 0, highest)), (">=", (0, 1, lowest))):
        for shift in shifts:
            if shift not in left_out:
                yield 6, Comparison(COLUMN, relation, Index("row", shift))
    if places != (len(asked.rows.ids), len(asked.columns.ids)):  # whatever has a place, against what has none
        yield 6, Comparison(COLUMN, "<=", Index("row", highest))
    for modulus in asked.moduli:
        if modulus < max(places):
            for remainder in range(modulus):
                yield 7, Comparison(Index("column", 0, modulus), "==", Index("row", remainder, modulus))


def _of_attention(asked: Asked) -> Iterator[Ranked]:
    """Of positions `k == q - 2`, `k % 2 == (q - 1) % 2`; of tokens `k == q`, `k < q`, `k == q + 1`."""
    if asked.columns.basis.kind == "position":
        for shift in asked.shifts:
            yield 8, Comparison(COLUMN, "==", Index("row", -shift))
        for modulus in asked.moduli:
            for remainder in range(modulus):
                yield 9, Comparison(Index("column", 0, modulus), "==", Index("row", -remainder, modulus))
        return
    yield 0, Comparison(COLUMN, "==", ROW)
    if asked.columns.has_order:
        for number, relation in enumerate(ORDER):
            yield 2 + number, Comparison(COLUMN, relation, ROW)
        for shift in (1, -1):
            yield 8, Comparison(COLUMN, "==", Index("row", shift))


UNLIKE = '''\
def unlike(x, y):
    """Whether two places differ; false where one is missing."""
    return (x != y) & ~np.isnan(x) & ~np.isnan(y)
'''

RECORDS = (
    Record(
        Comparison,
        shape=None,
        reads=lambda node: node.kind == "comparison" and node[1].text != "in",
        parse=_parse,
        helpers={"unlike": UNLIKE},
        candidates=_candidates,
    ),
)
