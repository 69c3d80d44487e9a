"""How a primitive is read: the pieces of the text, and what a record may ask the parser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from drasp.errors import ParseError, Span
from drasp.ir.axis import Side
from drasp.ir.labels import Label, Range
from drasp.ir.primitives.primitive import Predicate

Made = TypeVar("Made")


@dataclass(frozen=True)
class Node:
    """A piece of the text.

    Attributes:
        kind: the name of the grammar's rule or, for an operator sign, of its terminal.
        text: what is written, where the piece is a word, number or sign; the function of a call; the name a statement or keyword gives.
        parts: the pieces it is made of.
    """

    kind: str
    text: str
    parts: tuple["Node", ...]
    span: Span

    def __getitem__(self, number: int) -> "Node":
        return self.parts[number]


class Reader(Protocol):
    """What the parser can read for a record. Everything raises ParseError, with the place, where the piece is none such."""

    def label(self, node: Node) -> Label:
        """A coordinate."""

    def members(self, node: Node) -> tuple[Label | Range, ...]:
        """A set of coordinates, in braces."""

    def entries(self, node: Node) -> list[tuple[Label, Node]]:
        """The keys and values of a table, in braces."""

    def integer(self, node: Node) -> int:
        """A whole number, not negative."""

    def number(self, node: Node) -> float:
        """A number, with or without a sign."""

    def side(self, node: Node) -> Side:
        """The name of one side of the operator."""

    def sides(self) -> str:
        """What the sides are called: `q or k`."""

    def predicate(self, node: Node) -> Predicate:
        """A predicate, with or without parentheses."""

    def only(self, node: Node) -> Node:
        """The single argument of a call."""

    def error(self, node: Node, message: str) -> ParseError:
        """What to raise for a piece that is wrong."""

    def at(self, node: Node, make: Callable[[], Made]) -> Made:
        """What `make` makes; a ProgramError of it gets the place of the piece."""


def is_word(word: str) -> Callable[[Node], bool]:
    """Whether a piece is a word."""
    return lambda node: node.kind == "name" and node.text == word


def is_call(function: str) -> Callable[[Node], bool]:
    """Whether a piece is a call of a function."""
    return lambda node: node.kind == "call" and node.text == function


def is_kind(kind: str) -> Callable[[Node], bool]:
    """Whether a piece is of one kind."""
    return lambda node: node.kind == kind
