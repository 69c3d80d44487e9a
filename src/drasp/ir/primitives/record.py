"""What a primitive is, and the record in which everything about it stands.

A primitive is a class: `matrix` is its meaning, `text` its printed form, `words` its English in a caption, `python` its form in an
exported file, `numbers` its free numbers. Its `Record` says how it is read and which instances of it are worth trying. Row and column are
the two sides of the matrix; what they are called in print (`q` and `k`, `inp` and `out`, `x` and `y`) and in a caption ("the query
position") depends on the statement.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, Side
from drasp.ir.basis import Basis
from drasp.ir.labels import Label, Range
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader


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


Group = Literal["column", "row", "same", "difference", "pair", "key", "query and key"]
"""Candidates that are tried together. For operators those that are functions of one thing: the column's coordinate, the row's, whether the
two are the same, the difference of their places; or of both coordinates, where these are few. For attention those of a key alone, and those
of a query and a key."""


@dataclass(frozen=True)
class Asked:
    """Which candidates are wanted.

    Attributes:
        group: which kind.
        rows, columns: the two sides. For "same" they have one basis, for "difference" both have an order.
        moduli: those that are tried.
        shifts: the distances between places that are tried between a query and a key.
        tokens: up to how many symbols of a vocabulary each token, and each pair of tokens, is a candidate of attention.
    """

    group: Group
    rows: Axis
    columns: Axis
    moduli: range
    shifts: range = range(0)
    tokens: int = 0


Ranked = tuple[int, Primitive]
"""A candidate and its rank in its group: of two that explain the same, the one of the lower rank is taken."""


def none(asked: Asked) -> Iterable[Ranked]:
    """The candidates of a primitive that is never tried."""
    return ()


@dataclass(frozen=True)
class Record:
    """All that the rest of the project knows of a primitive.

    Attributes:
        kind: the class: matrix, text, words, exported Python, free numbers.
        shape: how it is written, where an error says what is expected; None for a predicate.
        reads: whether a piece of text is such a primitive; of several records the first one counts.
        parse: the primitive that the piece is.
        word: the word that it is, where it is but a word; it can name nothing else.
        helpers: the Python functions that `python` calls, by name.
        candidates: the instances worth trying when an operator or attention is to be named.
    """

    kind: type[Primitive]
    shape: str | None
    reads: Callable[[Node], bool]
    parse: Callable[[Reader, Node], Primitive]
    word: str | None = None
    helpers: Mapping[str, str] = field(default_factory=dict)
    candidates: Callable[[Asked], Iterable[Ranked]] = none
