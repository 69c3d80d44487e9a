"""Tables: relations `{"a": {"a", "b"}}`, entries `{"a": 1.5}` and rows of entries `{0: {"b": 9}}`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis, Side, along
from drasp.ir.basis import NAMED, Basis
from drasp.ir.labels import (
    Label,
    Range,
    braces,
    distinct,
    finite,
    is_special,
    label_text,
    member_numbers,
    member_text,
    members_words,
    number_text,
)
from drasp.ir.primitives.primitive import Names, Nouns, Primitive
from drasp.ir.primitives.python import PythonSides
from drasp.ir.primitives.reading import Node, Reader, is_kind
from drasp.ir.primitives.record import Asked, Ranked, Record

Numbered = tuple[tuple[Label, float], ...]


@dataclass(frozen=True)
class Relation(Primitive):
    """`{<bos>: {"a"}, "a": {"a", "b"}}`: 1 for each pair of a row and one of its columns."""

    binary = True
    rows: tuple[tuple[Label, tuple[Label | Range, ...]], ...]

    def __post_init__(self) -> None:
        distinct((row for row, _ in self.rows), "a relation")
        for row, members in self.rows:
            distinct(members, f"row {label_text(row)}")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = np.zeros((len(rows.ids), len(columns.ids)))
        for row, members in self.rows:
            result[np.ix_(rows.ids == rows.index(row), np.isin(columns.ids, columns.indices(members)))] = 1
        return result

    def text(self, names: Names) -> str:
        return braces(f"{label_text(row)}: {braces(map(member_text, members))}" for row, members in self.rows)

    def words(self, nouns: Nouns) -> str:
        rows = (f"({nouns.row} is {label_text(row)} and {nouns.column} is {members_words(members)})" for row, members in self.rows)
        return " or ".join(rows)

    def python(self, sides: PythonSides) -> str:
        rows = braces(f"{sides.label(label, 'row')}: {sides.members(members, 'column')}" for label, members in self.rows)
        return f"relation({sides.names['row']}, {sides.names['column']}, {rows})"

    def numbers(self) -> int:
        return sum(member_numbers(members) for _, members in self.rows)

    def columns_named(self, rows: Basis) -> Sequence[Label | Range]:
        return [member for _, members in self.rows for member in members]


@dataclass(frozen=True)
class Entries(Primitive):
    """`{"a": 1.5, "b": -2}`: numbers by column where there is one row, by row where there is one column; 0 elsewhere."""

    table = True
    entries: Numbered

    def __post_init__(self) -> None:
        _check(self.entries, "a table")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        side = _side(rows.basis)
        if side == "row" and columns.basis.size != 1:
            raise ProgramError("a table between two bases needs rows: {row: {column: number}}")
        axis = columns if side == "column" else rows
        vector = np.zeros(axis.basis.size)
        for label, value in self.entries:
            vector[axis.index(label)] = value
        return along(side, vector[axis.ids])

    def text(self, names: Names) -> str:
        return _text(self.entries)

    def words(self, nouns: Nouns) -> str:
        return _words(self.entries)

    def python(self, sides: PythonSides) -> str:
        side = _side(sides.bases["row"])
        return f"entries({sides.names[side]}, {sides.numbers(self.entries, side)})"

    def numbers(self) -> int:
        return len(self.entries)

    def columns_named(self, rows: Basis) -> Sequence[Label | Range]:
        return [label for label, _ in self.entries] if _side(rows) == "column" else ()


@dataclass(frozen=True)
class Rows(Primitive):
    """`{0: {"b": 9, <eos>: -9}}`: numbers by row and column; 0 elsewhere."""

    table = True
    rows: tuple[tuple[Label, Numbered], ...]

    def __post_init__(self) -> None:
        distinct((row for row, _ in self.rows), "a table")
        for row, entries in self.rows:
            _check(entries, f"row {label_text(row)}")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = np.zeros((len(rows.ids), len(columns.ids)))
        for row, entries in self.rows:
            here = rows.ids == rows.index(row)
            for label, value in entries:
                result[np.ix_(here, columns.ids == columns.index(label))] = value
        return result

    def text(self, names: Names) -> str:
        return braces(f"{label_text(row)}: {_text(entries)}" for row, entries in self.rows)

    def words(self, nouns: Nouns) -> str:
        return " and ".join(f"({_words(entries)} if {nouns.row} is {label_text(row)})" for row, entries in self.rows)

    def python(self, sides: PythonSides) -> str:
        rows = braces(f"{sides.label(label, 'row')}: {sides.numbers(entries, 'column')}" for label, entries in self.rows)
        return f"cells({sides.names['row']}, {sides.names['column']}, {rows})"

    def numbers(self) -> int:
        return sum(len(entries) for _, entries in self.rows)

    def columns_named(self, rows: Basis) -> Sequence[Label | Range]:
        return [label for _, entries in self.rows for label, _ in entries]


def _side(rows: Basis) -> Side:
    """Along which side entries without rows go."""
    return "column" if rows.size == 1 else "row"


def _check(entries: Numbered, what: str) -> None:
    distinct((label for label, _ in entries), what)
    for _, value in entries:
        finite(value)


def _text(entries: Numbered) -> str:
    return braces(f"{label_text(label)}: {number_text(value)}" for label, value in entries)


def _words(entries: Numbered) -> str:
    return ", ".join(f"{number_text(value)} for {label_text(label)}" for label, value in entries)


def _is_relation(node: Node) -> bool:
    values = [item[1] for item in node.parts if item.kind == "entry"]
    return node.kind == "braces" and len(values) == len(node.parts) and all(v.kind == "braces" and v[0].kind != "entry" for v in values)


def _is_rows(node: Node) -> bool:
    return node.kind == "braces" and any(item.kind == "entry" and item[1].kind == "braces" for item in node.parts)


def _numbered(reader: Reader, node: Node) -> Numbered:
    return tuple((label, reader.number(value)) for label, value in reader.entries(node))


def _relation(reader: Reader, node: Node) -> Relation:
    return reader.at(node, lambda: Relation(tuple((label, reader.members(value)) for label, value in reader.entries(node))))


def _entries(reader: Reader, node: Node) -> Entries:
    return reader.at(node, lambda: Entries(_numbered(reader, node)))


def _rows(reader: Reader, node: Node) -> Rows:
    return reader.at(node, lambda: Rows(tuple((label, _numbered(reader, value)) for label, value in reader.entries(node))))


def _is_small(asked: Asked) -> bool:
    """Whether every token can be a candidate."""
    return sum(not is_special(token) for token in asked.columns.labels) <= asked.tokens


def _entries_candidates(asked: Asked) -> Iterator[Ranked]:
    """For attention each token; of a large vocabulary the special ones."""
    if asked.group == "key" and asked.columns.basis.kind in NAMED:
        yield from ((0, Entries(((token, 1.0),))) for token in asked.columns.labels if _is_small(asked) or is_special(token))


def _rows_candidates(asked: Asked) -> Iterator[Ranked]:
    """For attention each pair of tokens of a small vocabulary."""
    if asked.group == "query and key" and asked.columns.basis.kind in NAMED and _is_small(asked):
        yield from ((1, Rows(((row, ((column, 1.0),)),))) for row in asked.rows.labels for column in asked.columns.labels)


ENTRIES = '''\
def entries(coordinates, numbers):
    """The number of each coordinate; 0 where none is given."""
    result = np.zeros(coordinates.shape)
    for coordinate, number in numbers.items():
        result[coordinates == coordinate] = number
    return result
'''

CELLS = '''\
def cells(rows, columns, numbers):
    """The number of each row and column; 0 where none is given."""
    result = np.zeros((rows.size, columns.size))
    for row, entries in numbers.items():
        for column, number in entries.items():
            result[row, column] = number
    return result
'''

RELATION = '''\
def relation(rows, columns, members):
    """1 for each row with each of its members, 0 elsewhere."""
    result = np.zeros((rows.size, columns.size))
    for row, found in members.items():
        result[row, found] = 1
    return result
'''

RECORDS = (
    # Relations and larger tables have no candidates: they are read off what is to be named.
    Record(Relation, "a table {...}", _is_relation, _relation, helpers={"relation": RELATION}),
    Record(Rows, "a table {...}", _is_rows, _rows, helpers={"cells": CELLS}, candidates=_rows_candidates),
    Record(Entries, "a table {...}", is_kind("braces"), _entries, helpers={"entries": ENTRIES}, candidates=_entries_candidates),
)
