"""Predicates of predicates: `not (p)`, `p and q`, `p or q`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis
from drasp.ir.primitives.primitive import Names, Nouns, Predicate
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import is_kind
from drasp.ir.primitives.record import Record


@dataclass(frozen=True)
class Not(Predicate):
    """`not (p)`."""

    predicate: Predicate

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return ~self.predicate.matrix(rows, columns)

    def text(self, names: Names) -> str:
        return f"not ({self.predicate.text(names)})"

    def words(self, nouns: Nouns) -> str:
        return f"not ({self.predicate.words(nouns)})"

    def python(self, sides: PythonSides) -> str:
        return f"~({self.predicate.python(sides)})"

    def numbers(self) -> int:
        return self.predicate.numbers()


@dataclass(frozen=True)
class _Joined(Predicate):
    """Two predicates or more, joined by `word`; `sign` is that of Python."""

    word: ClassVar[str]
    sign: ClassVar[str]
    parts: tuple[Predicate, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ProgramError(f"{self.word} needs two predicates")

    def _joined(self, say: Callable[[Predicate], str]) -> str:
        return f" {self.word} ".join(f"({say(part)})" if isinstance(part, _Joined) else say(part) for part in self.parts)

    def text(self, names: Names) -> str:
        return self._joined(lambda part: part.text(names))

    def words(self, nouns: Nouns) -> str:
        return self._joined(lambda part: part.words(nouns))

    def python(self, sides: PythonSides) -> str:
        return f" {self.sign} ".join(f"({part.python(sides)})" for part in self.parts)

    def numbers(self) -> int:
        return sum(part.numbers() for part in self.parts)


@dataclass(frozen=True)
class And(_Joined):
    """`p and q`."""

    word, sign = "and", "&"

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return reduce(np.logical_and, (part.matrix(rows, columns) for part in self.parts))


@dataclass(frozen=True)
class Or(_Joined):
    """`p or q`."""

    word, sign = "or", "|"

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return reduce(np.logical_or, (part.matrix(rows, columns) for part in self.parts))


RECORDS = (
    # No candidates: what is joined is read off what is to be named.
    Record(Not, None, is_kind("not"), lambda reader, node: Not(reader.predicate(node[0]))),
    Record(And, None, is_kind("and"), lambda reader, node: And(tuple(map(reader.predicate, node.parts)))),
    Record(Or, None, is_kind("or"), lambda reader, node: Or(tuple(map(reader.predicate, node.parts)))),
)
