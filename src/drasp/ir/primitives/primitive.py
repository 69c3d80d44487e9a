"""What every primitive is: a class whose methods tell its meaning and how it is written, said and exported."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, Side
from drasp.ir.basis import Basis
from drasp.ir.labels import Label, Range
from drasp.ir.primitives.python import PythonSides


@dataclass(frozen=True)
class Names:
    """What a statement calls the sides of its operator; None where it has no such side.

    Attributes:
        row, column: `q` and `k`.
        selector: whether what tells pairs apart must have a strength.
    """

    row: str
    column: str | None
    selector: bool = False

    def of(self, side: Side) -> str:
        """The name of a side.

        Raises:
            ProgramError: the operator may not speak of that side.
        """
        name = self.row if side == "row" else self.column
        if name is None:
            raise ProgramError("the operator of a table speaks of its input only: its entries name the columns")
        return name


@dataclass(frozen=True)
class Nouns:
    """What a caption calls the sides of an operator.

    Attributes:
        row, column: "the query position", "the key position".
        equal: the column whose coordinate is the row's: "the same position", "the token in a1".
        thing: what a column is, for "the previous position" and "position 0"; None where the sides are not of one kind.
    """

    row: str
    column: str
    equal: str
    thing: str | None

    def of(self, side: Side) -> str:
        return self.row if side == "row" else self.column


class Primitive(ABC):
    """A matrix between two bases, to which an operator gives a strength.

    Attributes:
        binary: whether it only tells pairs apart, so that its strength is what they get; else it is a quantity.
        table: whether it is made of numbers of its own, so that a strength of 1 is not written.
    """

    binary: ClassVar[bool] = False
    table: ClassVar[bool] = False

    @abstractmethod
    def matrix(self, rows: Axis, columns: Axis) -> Array:
        """An array that broadcasts to (rows, columns): booleans of a predicate, else floats.

        Raises:
            ProgramError: it does not fit the two sides.
        """

    @abstractmethod
    def text(self, names: Names) -> str:
        """As it is printed."""

    @abstractmethod
    def words(self, nouns: Nouns) -> str:
        """In plain English: of a binary one when it holds, else how much it is."""

    @abstractmethod
    def python(self, sides: PythonSides) -> str:
        """A NumPy expression of the numbers of the coordinates, with the same value as `matrix`."""

    @abstractmethod
    def numbers(self) -> int:
        """The free numbers, without that of its strength."""

    def brief(self, nouns: Nouns) -> str | None:
        """The columns for which it holds, where they have a short name: "the previous position"."""
        return None

    def alone(self, nouns: Nouns, selecting: bool) -> str | None:
        """To what a selector attends, or what a projection puts out, that has it alone; None where that has no short name."""
        if not self.binary:
            return None
        brief = self.brief(nouns)
        return f"to {brief}" if brief and selecting else brief or where(self, nouns)

    def columns_named(self, rows: Basis) -> Sequence[Label | Range]:
        """The columns that its entries name."""
        return ()


class Predicate(Primitive):
    """A primitive that holds for a pair of coordinates or not: `matrix` is boolean. It is written in parentheses, or in `hard(...)`."""

    binary = True


def where(primitive: Primitive, nouns: Nouns) -> str:
    """For which columns it holds: "for the previous position", "where the key position is after the query position"."""
    brief = primitive.brief(nouns)
    return f"where {primitive.words(nouns)}" if brief is None else f"for {brief}"
