"""A side's place in its order: `k`, `q - 1`, `k % 3`, `(q + 1) % 3`: what comparisons compare."""

from dataclasses import dataclass, replace

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, Side, along
from drasp.ir.labels import Label, label_text
from drasp.ir.primitives.primitive import Names, Nouns
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader


@dataclass(frozen=True)
class Index:
    """A side's place in its order, shifted, or its remainder.

    Attributes:
        side: which.
        shift: what is added.
        modulo: of what the remainder is taken, at least 2; None for the place itself.
    """

    side: Side
    shift: int = 0
    modulo: int | None = None

    def __post_init__(self) -> None:
        if self.modulo is not None and self.modulo < 2:
            raise ProgramError(f"a modulus is at least 2, not {self.modulo}")

    @property
    def plain(self) -> bool:
        return self.shift == 0 and self.modulo is None

    def axis(self, rows: Axis, columns: Axis) -> Axis:
        return rows if self.side == "row" else columns

    def values(self, rows: Axis, columns: Axis) -> Array:
        """Floats that broadcast to (rows, columns), NaN for a token outside the order."""
        values = self.axis(rows, columns).ranks + self.shift
        if self.modulo is not None:
            with np.errstate(invalid="ignore"):
                values = values % self.modulo
        return along(self.side, values)

    def value(self, label: Label, rows: Axis, columns: Axis) -> float:
        """The number that stands for a coordinate compared with this index: a remainder, or a place in the order."""
        if self.modulo is None:
            return self.axis(rows, columns).rank(label)
        if not isinstance(label, int) or not 0 <= label < self.modulo:
            raise ProgramError(f"{label_text(label)} is no remainder modulo {self.modulo}")
        return float(label)

    def text(self, names: Names) -> str:
        name = names.of(self.side)
        shifted = name if self.shift == 0 else f"{name} {'+' if self.shift > 0 else '-'} {abs(self.shift)}"
        if self.modulo is None:
            return shifted
        return f"({shifted}) % {self.modulo}" if self.shift else f"{name} % {self.modulo}"

    def words(self, nouns: Nouns) -> str:
        noun = nouns.of(self.side)
        shifted = noun if self.shift == 0 else f"{noun} {'plus' if self.shift > 0 else 'minus'} {abs(self.shift)}"
        return shifted if self.modulo is None else f"{shifted} modulo {self.modulo}"

    def numbers(self) -> int:
        return (self.shift != 0) + (self.modulo is not None)

    def python(self, sides: PythonSides) -> str:
        place = sides.place(self.side)
        shifted = f"{place} {'-' if self.shift < 0 else '+'} {abs(self.shift)}" if self.shift else place
        if self.modulo is None:
            return shifted
        return f"({shifted}) % {self.modulo}" if self.shift else f"{shifted} % {self.modulo}"

    def python_value(self, label: Label, sides: PythonSides) -> str:
        """What it is compared with: a remainder, or the place of a coordinate."""
        if self.modulo is None and sides.has_places(self.side):
            return f"PLACE[{sides.label(label, self.side)}]"
        return str(label)


ROW, COLUMN = Index("row"), Index("column")


def read_index(reader: Reader, node: Node) -> Index:
    """`k`, `q - 1`, `k % 3`, `(q + 1) % 3`."""
    if node.kind != "product" or len(node.parts) != 3 or node[1].text != "%":
        return _shifted(reader, node)
    index = _shifted(reader, node[0][0] if node[0].kind == "paren" else node[0])
    return reader.at(node[2], lambda: replace(index, modulo=reader.integer(node[2])))


def _shifted(reader: Reader, node: Node) -> Index:
    if node.kind != "sum":
        return Index(reader.side(node))
    side, shift = reader.side(node[0]), reader.integer(node[2])
    if len(node.parts) != 3:
        raise reader.error(node[3], "only one number is added")
    return Index(side, -shift if node[1].text == "-" else shift)
