"""Sets: `k in {"a", <bos>}`, `k % 4 in {1, 3}`."""

from dataclasses import dataclass

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, along
from drasp.ir.labels import Label, Range, braces, distinct, member_numbers, member_text, members_words
from drasp.ir.primitives.index import COLUMN, Index, read_index
from drasp.ir.primitives.primitive import Names, Nouns, Predicate
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader
from drasp.ir.primitives.record import Record


@dataclass(frozen=True)
class Member(Predicate):
    """`k in {"a", <bos>}`, `k % 4 in {1, 3}`."""

    index: Index
    members: tuple[Label | Range, ...]

    def __post_init__(self) -> None:
        distinct(self.members, "a set")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        axis = self.index.axis(rows, columns)
        if self.index.plain:
            return along(self.index.side, np.isin(axis.ids, axis.indices(self.members)))
        values = []
        for member in self.members:
            if isinstance(member, Range):
                raise ProgramError(f"the range {member_text(member)} stands in a set of remainders or shifted places")
            values.append(self.index.value(member, rows, columns))
        return np.isin(self.index.values(rows, columns), values)

    def text(self, names: Names) -> str:
        return f"{self.index.text(names)} in {braces(map(member_text, self.members))}"

    def words(self, nouns: Nouns) -> str:
        return f"{self.index.words(nouns)} is {members_words(self.members)}"

    def brief(self, nouns: Nouns) -> str | None:
        """The columns for which it holds, where they have a short name: "token "a" or "b""."""
        named = nouns.thing is not None and self.index == COLUMN
        return f"{nouns.thing} {members_words(self.members)}" if named else None

    def python(self, sides: PythonSides) -> str:
        if self.index.plain:
            return f"np.isin({sides.names[self.index.side]}, {sides.members(self.members, self.index.side)})"
        values = (self.index.python_value(member, sides) for member in self.members if not isinstance(member, Range))
        return f"np.isin({self.index.python(sides)}, [{', '.join(values)}])"

    def numbers(self) -> int:
        return self.index.numbers() + member_numbers(self.members)


def _parse(reader: Reader, node: Node) -> Member:
    index = read_index(reader, node[0])
    return reader.at(node[2], lambda: Member(index, reader.members(node[2])))


RECORDS = (
    # No candidates: which sets are worth trying is read off what is to be named.
    Record(Member, shape=None, reads=lambda node: node.kind == "comparison" and node[1].text == "in", parse=_parse),
)
