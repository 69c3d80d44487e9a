"""Operators: matrices between two bases: a sum of primitives with strengths, some rows replaced; or a dense tensor by name."""

from dataclasses import dataclass

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.axis import Array, Axis
from drasp.ir.basis import Basis
from drasp.ir.labels import Label, Range, braces, distinct, finite, label_text, number_text
from drasp.ir.primitives.primitive import Names, Nouns, Predicate, Primitive, where

HARD = 10000.0
"""The strength of `hard(...)`: among a few hundred keys, the others get a weight of exactly 0."""


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
        if abs(self.strength) == 1 and not (names.selector and self.primitive.binary):
            return sign + inner
        return f"{number_text(self.strength)}*{inner}"

    def words(self, nouns: Nouns) -> str:
        """What it adds: "22 for the previous position", "1.35 times the place of the key position"."""
        if self.primitive.binary:
            return f"{number_text(self.strength)} {where(self.primitive, nouns)}"
        said = self.primitive.words(nouns)
        return said if self.strength == 1 and self.primitive.table else f"{number_text(self.strength)} times {said}"

    def numbers(self) -> int:
        """The strength counts too, but that of a table only where it is written."""
        unscaled = self.primitive.table and self.strength == 1
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

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """Those of all rows."""
        return self.terms


@dataclass(frozen=True)
class Except:
    """`hard(k == q) except {<bos>: hard(k == <sep>)}`: an operator some of whose rows are those of others."""

    base: Sum
    overrides: tuple[tuple[Label, Sum], ...]

    def __post_init__(self) -> None:
        distinct((row for row, _ in self.overrides), "except")

    def matrix(self, rows: Axis, columns: Axis) -> Array:
        result = self.base.matrix(rows, columns)
        for row, operator in self.overrides:
            here = rows.ids == rows.index(row)
            result[here] = operator.matrix(rows, columns)[here]
        return result

    def text(self, names: Names) -> str:
        overrides = braces(f"{label_text(row)}: {operator.text(names)}" for row, operator in self.overrides)
        return f"{self.base.text(names)} except {overrides}"

    def words(self, nouns: Nouns) -> str:
        overrides = (f"; but if {nouns.row} is {label_text(row)}: {operator.words(nouns)}" for row, operator in self.overrides)
        return self.base.words(nouns) + "".join(overrides)

    def numbers(self) -> int:
        return self.base.numbers() + sum(1 + operator.numbers() for _, operator in self.overrides)

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """Those of all rows, overrides included."""
        return (*self.base.terms, *(term for _, operator in self.overrides for term in operator.terms))


Symbolic = Sum | Except


@dataclass(frozen=True)
class Dense:
    """A tensor of `operators.safetensors`, by name. Opaque."""

    name: str


Operator = Dense | Symbolic


def table_width(op: Symbolic, rows: Basis) -> int:
    """How many coordinates the result of `table(x, op=op)` has: those that its entries name, one where they name none."""
    named: list[Label | Range] = [0]
    for term in op.all_terms:
        named += term.primitive.columns_named(rows)
    width = 0
    for member in named:
        label = member.last if isinstance(member, Range) else member
        if not isinstance(label, int) or label < 0:
            raise ProgramError(f"{label_text(label)} is no column of a table: they are 0, 1, ...")
        width = max(width, label + 1)
    return width
