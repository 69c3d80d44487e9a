"""Operators: matrices between two bases, dense by name or symbolic.

Each symbolic primitive is one class, and one record: `matrix` is its meaning, `text` its printed form, `words` its English in a caption,
`numbers` its free numbers. Row and column are the two sides of the matrix; what they are called in print (`q` and `k`, `inp` and `out`,
`x` and `y`) and in a caption ("the query position") depends on the statement.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Literal

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.basis import Basis

Array = np.ndarray[Any, Any]
Label = str | int | tuple[Any, Any]
"""A coordinate as it is written: a token, the index of a position or derived coordinate, or a pair of labels."""

Side = Literal["row", "column"]

HARD = 10000.0
"""The strength of `hard(...)`: among a few hundred keys, the others get a weight of exactly 0."""

SPECIAL_TOKEN = re.compile(r"<[A-Za-z_][A-Za-z0-9_]*>")


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number: 8, not 8.0."""
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(float(value))


def label_text(label: Label) -> str:
    """`<bos>`, `"a"`, `3`, `("a", 3)`."""
    if isinstance(label, tuple):
        return "(" + ", ".join(label_text(part) for part in label) + ")"
    if isinstance(label, int):
        return str(label)
    return label if SPECIAL_TOKEN.fullmatch(label) else json.dumps(label, ensure_ascii=False)


def finite(value: float) -> None:
    """Raises ProgramError where a number is infinite or not a number."""
    if not isfinite(value):
        raise ProgramError(f"{value} is no finite number")


def _distinct(labels: Iterable[object], what: str) -> None:
    seen = set()
    for label in labels:
        if label in seen:
            raise ProgramError(f"{what} has {member_text(label)} twice")  # type: ignore[arg-type]
        seen.add(label)
    if not seen:
        raise ProgramError(f"{what} is empty")


@dataclass(frozen=True)
class Range:
    """`"0".."149"`: all coordinates from one to another, both included, in the order of the basis."""

    first: str | int
    last: str | int


def member_text(member: Label | Range) -> str:
    """A member of a set as it is written."""
    if isinstance(member, Range):
        return f"{label_text(member.first)}..{label_text(member.last)}"
    return label_text(member)


def members_words(members: Sequence[Label | Range]) -> str:
    """The members of a set in a caption: `"a", "b" or 3 to 7`."""
    said = [f"{label_text(m.first)} to {label_text(m.last)}" if isinstance(m, Range) else label_text(m) for m in members]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def member_numbers(members: Sequence[Label | Range]) -> int:
    """Every member counts one; of a range its two ends."""
    return sum(2 if isinstance(m, Range) else 1 for m in members)


class Axis:
    """One side of a matrix: the coordinates of a basis, what each is called, and their order.

    Attributes:
        basis: whose coordinates they are.
        ids: their indices: all of them, or none where an operator is only to be checked.
    """

    def __init__(self, basis: Basis, vocabulary: tuple[str, ...], order: tuple[str, ...] | None, empty: bool = False) -> None:
        self.basis = basis
        self.ids = np.arange(0 if empty else basis.size)
        self._vocabulary = vocabulary
        self._order = order

    def part(self, number: int) -> "Axis":
        """The axis of one part of a pair."""
        return Axis(self.basis.parts[number], self._vocabulary, self._order)

    def index(self, label: Label) -> int:
        """Where a coordinate is.

        Raises:
            ProgramError: the basis has no such coordinate.
        """
        kind, size = self.basis.kind, self.basis.size
        if kind == "token":
            if not isinstance(label, str):
                raise ProgramError(f"{label_text(label)} is no token: a token is written as a string")
            if label not in self._vocabulary:
                raise ProgramError(f"token {label_text(label)} is not in the vocabulary")
            return self._vocabulary.index(label)
        if kind == "pair":
            if not isinstance(label, tuple):
                raise ProgramError(f"{label_text(label)} is no coordinate of {self.basis}: a pair is written (x, y)")
            return self.part(0).index(label[0]) * self.basis.parts[1].size + self.part(1).index(label[1])
        if not isinstance(label, int) or not 0 <= label < size:
            raise ProgramError(f"{label_text(label)} is no coordinate of {self.basis}: they are 0..{size - 1}")
        return label

    def label(self, index: int | np.integer[Any]) -> Label:
        """How a coordinate is written: the inverse of `index`."""
        if self.basis.kind == "token":
            return self._vocabulary[int(index)]
        if self.basis.kind == "pair":
            first, second = divmod(int(index), self.basis.parts[1].size)
            return (self.part(0).label(first), self.part(1).label(second))
        return int(index)

    def indices(self, members: Sequence[Label | Range]) -> list[int]:
        """Where the members of a set are."""
        found: list[int] = []
        for member in members:
            if isinstance(member, Range):
                first, last = self.index(member.first), self.index(member.last)
                if first > last:
                    raise ProgramError(f"the range {member_text(member)} ends before it starts")
                found += range(first, last + 1)
            else:
                found.append(self.index(member))
        return found

    def rank(self, label: Label) -> float:
        """The place of a coordinate in the order of its basis."""
        index = self.index(label)
        rank = float(self._all_ranks[index])
        if np.isnan(rank):
            raise ProgramError(f"token {label_text(label)} is not in the order")
        return rank

    @property
    def ranks(self) -> Array:
        """The place of every coordinate in the order of its basis: float, NaN where it has none."""
        return self._all_ranks[self.ids]

    @cached_property
    def _all_ranks(self) -> Array:
        if self.basis.kind in ("pair", "residual"):
            raise ProgramError(f"the coordinates of {self.basis} have no order")
        if self.basis.kind != "token":
            return np.arange(self.basis.size, dtype=np.float64)
        if self._order is None:
            raise ProgramError("tokens have no order here: the header needs an order line")
        place = {token: float(i) for i, token in enumerate(self._order)}
        return np.array([place.get(token, np.nan) for token in self._vocabulary])


@dataclass(frozen=True)
class Names:
    """What a statement calls the sides of its operator; None where it has no such side.

    Attributes:
        selector: whether a predicate must have a strength.
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


def _along(side: Side, values: Array) -> Array:
    """Values of one side's coordinates as part of a matrix (rows, columns)."""
    return values[:, None] if side == "row" else values[None, :]


# Predicates: `matrix` is a boolean array that broadcasts to (rows, columns).


@dataclass(frozen=True)
class Index:
    """A side's place in its order: `k`, `q - 1`, `k % 3`, `(q + 1) % 3`."""

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
        return _along(self.side, values)

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


COMPARISONS: dict[str, Callable[[Array, Any], Array]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


COMPARISON_WORDS = {"==": "is", "!=": "is not", "<": "is before", "<=": "is at or before", ">": "is after", ">=": "is at or after"}


@dataclass(frozen=True)
class Comparison:
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
                return _along(self.left.side, compare(axis.ids, axis.index(self.right)))
            left, right = self.left.values(rows, columns), np.array(self.left.value(self.right, rows, columns))
        else:
            other = self.right.axis(rows, columns)
            if identity and self.right.plain and axis.basis == other.basis:
                return compare(_along(self.left.side, axis.ids), _along(self.right.side, other.ids))
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
        if self.left != Index("column") or self.relation != "==":
            return None
        if self.right == Index("row"):
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

    def numbers(self) -> int:
        return self.left.numbers() + (self.right.numbers() if isinstance(self.right, Index) else 1)


@dataclass(frozen=True)
class Member:
    """`k in {"a", <bos>}`, `k % 4 in {1, 3}`."""

    index: Index
    members: tuple[Label | Range, ...]

    def __post_init__(self) -> None:
        _distinct(self.members, "a set")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        axis = self.index.axis(rows, columns)
        if self.index.plain:
            return _along(self.index.side, np.isin(axis.ids, axis.indices(self.members)))
        values = []
        for member in self.members:
            if isinstance(member, Range):
                raise ProgramError(f"the range {member_text(member)} stands in a set of remainders or shifted places")
            values.append(self.index.value(member, rows, columns))
        return np.isin(self.index.values(rows, columns), values)

    def text(self, names: Names) -> str:
        return f"{self.index.text(names)} in {_braces(map(member_text, self.members))}"

    def words(self, nouns: Nouns) -> str:
        return f"{self.index.words(nouns)} is {members_words(self.members)}"

    def brief(self, nouns: Nouns) -> str | None:
        """The columns for which it holds, where they have a short name: "token "a" or "b""."""
        named = nouns.thing is not None and self.index == Index("column")
        return f"{nouns.thing} {members_words(self.members)}" if named else None

    def numbers(self) -> int:
        return self.index.numbers() + member_numbers(self.members)


@dataclass(frozen=True)
class Not:
    """`not (p)`."""

    predicate: "Predicate"

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return ~self.predicate.matrix(rows, columns)

    def text(self, names: Names) -> str:
        return f"not ({self.predicate.text(names)})"

    def words(self, nouns: Nouns) -> str:
        return f"not ({self.predicate.words(nouns)})"

    def brief(self, nouns: Nouns) -> str | None:
        return None

    def numbers(self) -> int:
        return self.predicate.numbers()


@dataclass(frozen=True)
class And:
    """`p and q`."""

    parts: tuple["Predicate", ...]

    def __post_init__(self) -> None:
        _at_least_two(self.parts, "and")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = self.parts[0].matrix(rows, columns)
        for part in self.parts[1:]:
            result = result & part.matrix(rows, columns)
        return result

    def text(self, names: Names) -> str:
        return _joined("and", self.parts, lambda part: part.text(names))

    def words(self, nouns: Nouns) -> str:
        return _joined("and", self.parts, lambda part: part.words(nouns))

    def brief(self, nouns: Nouns) -> str | None:
        return None

    def numbers(self) -> int:
        return sum(part.numbers() for part in self.parts)


@dataclass(frozen=True)
class Or:
    """`p or q`."""

    parts: tuple["Predicate", ...]

    def __post_init__(self) -> None:
        _at_least_two(self.parts, "or")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = self.parts[0].matrix(rows, columns)
        for part in self.parts[1:]:
            result = result | part.matrix(rows, columns)
        return result

    def text(self, names: Names) -> str:
        return _joined("or", self.parts, lambda part: part.text(names))

    def words(self, nouns: Nouns) -> str:
        return _joined("or", self.parts, lambda part: part.words(nouns))

    def brief(self, nouns: Nouns) -> str | None:
        return None

    def numbers(self) -> int:
        return sum(part.numbers() for part in self.parts)


Predicate = Comparison | Member | Not | And | Or


def _at_least_two(parts: tuple[Predicate, ...], word: str) -> None:
    if len(parts) < 2:
        raise ProgramError(f"{word} needs two predicates")


def _joined(word: str, parts: tuple[Predicate, ...], say: Callable[[Predicate], str]) -> str:
    return f" {word} ".join(f"({say(p)})" if isinstance(p, And | Or) else say(p) for p in parts)


def where(predicate: "Predicate | Relation", nouns: Nouns) -> str:
    """For which columns a predicate holds: "for the previous position", "where the key position is after the query position"."""
    brief = predicate.brief(nouns)
    return f"where {predicate.words(nouns)}" if brief is None else f"for {brief}"


def _braces(items: Iterable[str]) -> str:
    return "{" + ", ".join(items) + "}"


# Graded primitives: `matrix` is a float array that broadcasts to (rows, columns).


@dataclass(frozen=True)
class Last:
    """`last`: the place of the column, so the later the more."""

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return np.nan_to_num(columns.ranks)[None, :]

    def text(self, names: Names) -> str:
        names.of("column")
        return "last"

    def words(self, nouns: Nouns) -> str:
        return f"the place of {nouns.column}"

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class First:
    """`first`: minus the place of the column."""

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return -np.nan_to_num(columns.ranks)[None, :]

    def text(self, names: Names) -> str:
        names.of("column")
        return "first"

    def words(self, nouns: Nouns) -> str:
        return f"minus the place of {nouns.column}"

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class Difference:
    """`(q - k)` or `(k - q)`: the difference of the two places; 0 where one is missing."""

    minuend: Side

    def values(self, rows: Axis, columns: Axis) -> Array:
        """The difference (rows, columns), NaN where it is undefined."""
        difference = rows.ranks[:, None] - columns.ranks[None, :]
        return difference if self.minuend == "row" else -difference

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return np.nan_to_num(self.values(rows, columns))

    def text(self, names: Names) -> str:
        other: Side = "column" if self.minuend == "row" else "row"
        return f"({names.of(self.minuend)} - {names.of(other)})"

    def words(self, nouns: Nouns) -> str:
        return f"how far {nouns.column} is {'before' if self.minuend == 'row' else 'after'} {nouns.row}"

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class Log:
    """`log(q - k)`: the natural logarithm of a difference; 0 where that is not positive."""

    difference: Difference

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        values = self.difference.values(rows, columns)
        return np.log(np.where(values > 0, values, 1))

    def text(self, names: Names) -> str:
        return f"log{self.difference.text(names)}"

    def words(self, nouns: Nouns) -> str:
        return f"the logarithm of {self.difference.words(nouns)}"

    def numbers(self) -> int:
        return 0


@dataclass(frozen=True)
class Nearest:
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

    def numbers(self) -> int:
        return self.predicate.numbers()


Graded = Last | First | Difference | Log | Nearest


# Tables.


@dataclass(frozen=True)
class Relation:
    """`{<bos>: {"a"}, "a": {"a", "b"}}`: 1 for each pair of a row and one of its columns."""

    rows: tuple[tuple[Label, tuple[Label | Range, ...]], ...]

    def __post_init__(self) -> None:
        _distinct((row for row, _ in self.rows), "a relation")
        for row, members in self.rows:
            _distinct(members, f"row {label_text(row)}")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = np.zeros((len(rows.ids), len(columns.ids)))
        for row, members in self.rows:
            result[np.ix_(rows.ids == rows.index(row), np.isin(columns.ids, columns.indices(members)))] = 1
        return result

    def text(self, names: Names) -> str:
        return _braces(f"{label_text(row)}: {_braces(map(member_text, members))}" for row, members in self.rows)

    def words(self, nouns: Nouns) -> str:
        rows = (f"({nouns.row} is {label_text(row)} and {nouns.column} is {members_words(members)})" for row, members in self.rows)
        return " or ".join(rows)

    def brief(self, nouns: Nouns) -> str | None:
        return None

    def numbers(self) -> int:
        return sum(member_numbers(members) for _, members in self.rows)


@dataclass(frozen=True)
class Entries:
    """`{"a": 1.5, "b": -2}`: numbers by column where there is one row, by row where there is one column; 0 elsewhere."""

    entries: tuple[tuple[Label, float], ...]

    def __post_init__(self) -> None:
        _distinct((label for label, _ in self.entries), "a table")
        for _, value in self.entries:
            finite(value)

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        side: Side = "column" if rows.basis.size == 1 else "row"
        if side == "row" and columns.basis.size != 1:
            raise ProgramError("a table between two bases needs rows: {row: {column: number}}")
        axis = columns if side == "column" else rows
        vector = np.zeros(axis.basis.size)
        for label, value in self.entries:
            vector[axis.index(label)] = value
        return _along(side, vector[axis.ids])

    def text(self, names: Names) -> str:
        return _entries_text(self.entries)

    def words(self, nouns: Nouns) -> str:
        return _entries_words(self.entries)

    def numbers(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class Rows:
    """`{0: {"b": 9, <eos>: -9}}`: numbers by row and column; 0 elsewhere."""

    rows: tuple[tuple[Label, tuple[tuple[Label, float], ...]], ...]

    def __post_init__(self) -> None:
        _distinct((row for row, _ in self.rows), "a table")
        for row, entries in self.rows:
            _distinct((label for label, _ in entries), f"row {label_text(row)}")
            for _, value in entries:
                finite(value)

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = np.zeros((len(rows.ids), len(columns.ids)))
        for row, entries in self.rows:
            here = rows.ids == rows.index(row)
            for label, value in entries:
                result[np.ix_(here, columns.ids == columns.index(label))] = value
        return result

    def text(self, names: Names) -> str:
        return _braces(f"{label_text(row)}: {_entries_text(entries)}" for row, entries in self.rows)

    def words(self, nouns: Nouns) -> str:
        return " and ".join(f"({_entries_words(entries)} if {nouns.row} is {label_text(row)})" for row, entries in self.rows)

    def numbers(self) -> int:
        return sum(len(entries) for _, entries in self.rows)


def _entries_text(entries: tuple[tuple[Label, float], ...]) -> str:
    return _braces(f"{label_text(label)}: {number_text(value)}" for label, value in entries)


def _entries_words(entries: tuple[tuple[Label, float], ...]) -> str:
    return ", ".join(f"{number_text(value)} for {label_text(label)}" for label, value in entries)


Primitive = Predicate | Graded | Relation | Entries | Rows


# Whole operators.


@dataclass(frozen=True)
class Term:
    """`20*(k == q - 3)`, `hard(k == q)`, `-1.35*(q - k)`, `last`, `8*{"a": {"b"}}`."""

    strength: float
    primitive: Primitive

    def __post_init__(self) -> None:
        finite(self.strength)

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        return self.strength * self.primitive.matrix(rows, columns)

    def text(self, names: Names) -> str:
        """With a sign in front where the strength is negative."""
        inner = self.primitive.text(names)
        sign = "-" if self.strength < 0 else ""
        if isinstance(self.primitive, Predicate):
            if abs(self.strength) == HARD:
                return f"{sign}hard({inner})"
            inner = f"({inner})"
        if abs(self.strength) == 1 and not (names.selector and isinstance(self.primitive, Predicate | Relation)):
            return sign + inner
        return f"{number_text(self.strength)}*{inner}"

    def words(self, nouns: Nouns) -> str:
        """What it adds: "22 for the previous position", "1.35 times the place of the key position"."""
        if isinstance(self.primitive, Predicate | Relation):
            return f"{number_text(self.strength)} {where(self.primitive, nouns)}"
        said = self.primitive.words(nouns)
        return said if self.strength == 1 and isinstance(self.primitive, Entries | Rows) else f"{number_text(self.strength)} times {said}"

    def numbers(self) -> int:
        """The strength counts too, but that of a table only where it is written."""
        unscaled = isinstance(self.primitive, Entries | Rows) and self.strength == 1
        return self.primitive.numbers() + (not unscaled)


@dataclass(frozen=True)
class Sum:
    """Terms and a constant, added: `8*(out == inp) - 4`."""

    terms: tuple[Term, ...] = ()
    constant: float = 0.0

    def __post_init__(self) -> None:
        finite(self.constant)

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        total = np.full((len(rows.ids), len(columns.ids)), float(self.constant))
        for term in self.terms:
            total += term.matrix(rows, columns)
        return total

    def text(self, names: Names) -> str:
        parts = [term.text(names) for term in self.terms]
        if self.constant != 0 or not parts:
            parts.append(number_text(self.constant))
        return parts[0] + "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in parts[1:])

    def words(self, nouns: Nouns) -> str:
        """What the terms and the constant add, one after the other."""
        parts = [term.words(nouns) for term in self.terms]
        if self.constant != 0 or not parts:
            parts.append(f"{number_text(self.constant)} always")
        return "; ".join(parts)

    def numbers(self) -> int:
        return sum(term.numbers() for term in self.terms) + (self.constant != 0 or not self.terms)


@dataclass(frozen=True)
class Except:
    """`hard(k == q) except {<bos>: hard(k == <sep>)}`: an operator some of whose rows are those of others."""

    base: Sum
    overrides: tuple[tuple[Label, Sum], ...]

    def __post_init__(self) -> None:
        _distinct((row for row, _ in self.overrides), "except")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = self.base.matrix(rows, columns)
        for row, operator in self.overrides:
            here = rows.ids == rows.index(row)
            result[here] = operator.matrix(rows, columns)[here]
        return result

    def text(self, names: Names) -> str:
        overrides = _braces(f"{label_text(row)}: {operator.text(names)}" for row, operator in self.overrides)
        return f"{self.base.text(names)} except {overrides}"

    def words(self, nouns: Nouns) -> str:
        overrides = (f"; but if {nouns.row} is {label_text(row)}: {operator.words(nouns)}" for row, operator in self.overrides)
        return self.base.words(nouns) + "".join(overrides)

    def numbers(self) -> int:
        return self.base.numbers() + sum(1 + operator.numbers() for _, operator in self.overrides)


Symbolic = Sum | Except


@dataclass(frozen=True)
class Dense:
    """A tensor of `operators.safetensors`, by name. Opaque."""

    name: str


Operator = Dense | Symbolic


def table_width(op: Symbolic, rows: Basis) -> int:
    """How many coordinates the result of `table(x, op=op)` has: those that its entries name, one where they name none."""
    sums = (op,) if isinstance(op, Sum) else (op.base, *(operator for _, operator in op.overrides))
    named: list[Label | Range] = [0]
    for term in (term for s in sums for term in s.terms):
        if isinstance(term.primitive, Relation):
            named += [member for _, members in term.primitive.rows for member in members]
        elif isinstance(term.primitive, Rows):
            named += [label for _, entries in term.primitive.rows for label, _ in entries]
        elif isinstance(term.primitive, Entries) and rows.size == 1:
            named += [label for label, _ in term.primitive.entries]
    width = 0
    for member in named:
        label = member.last if isinstance(member, Range) else member
        if not isinstance(label, int) or label < 0:
            raise ProgramError(f"{label_text(label)} is no column of a table: they are 0, 1, ...")
        width = max(width, label + 1)
    return width
