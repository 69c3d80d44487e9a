"""Formulas: what an element-wise statement computes at one position from coordinates of variables and numbers.

A function is one record of `FUNCTIONS`, a named test one of `TESTS`: its name, what it computes, and its English in a caption.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.labels import Label, finite, label_text, number_text

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-6
"""What the named tests take for zero. The smallest share that a token has of 300 is 1/300; rounding errors are far below."""


@dataclass(frozen=True)
class Read:
    """A variable as a statement takes it: `x`, or `x / n` with `n` a variable of one coordinate."""

    variable: str
    over: str | None = None

    def variables(self) -> tuple[str, ...]:
        return (self.variable,) if self.over is None else (self.variable, self.over)

    def text(self) -> str:
        return self.variable if self.over is None else f"{self.variable} / {self.over}"


def divide(numerator: Array, denominator: Array) -> Array:
    """`x / n`; 0 where n is 0."""
    return numerator / np.where(denominator == 0, denominator.dtype.type(np.inf), denominator)


def step(x: Array) -> Array:
    """1 where x is positive, else 0."""
    return (x > 0).astype(x.dtype)


@dataclass(frozen=True)
class Function:
    """A function of formulas.

    Attributes:
        arguments: how many it has; None for two or more.
        compute: takes arrays and gives one of the same type.
        words: in a caption, with `{}` for the arguments.
    """

    arguments: int | None
    compute: Callable[..., Array]
    words: str


def _least(*values: Array) -> Array:
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _largest(*values: Array) -> Array:
    return np.maximum.reduce(np.broadcast_arrays(*values))


FUNCTIONS: dict[str, Function] = {
    "relu": Function(1, ACTIVATIONS["relu"].compute, "the positive part of ({})"),
    "gelu": Function(1, ACTIVATIONS["gelu"].compute, "gelu of ({})"),
    "step": Function(1, step, "1 if {}, else 0"),
    "sign": Function(1, np.sign, "the sign of ({})"),
    "min": Function(None, _least, "the least of ({})"),
    "max": Function(None, _largest, "the largest of ({})"),
}

ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": divide}


@dataclass(frozen=True)
class NamedTest:
    """A test on a distribution: 1 or 0.

    Attributes:
        coordinates: how many it names.
        compute: takes the distribution (..., size) and the indices of those coordinates, gives booleans (...).
        words: in a caption, with `{x}` for the distribution, `{0}` and `{1}` for the coordinates.
    """

    coordinates: int
    compute: Callable[..., Array]
    words: str


TESTS: dict[str, NamedTest] = {
    "exists": NamedTest(1, lambda x, c: x[..., c] > TOLERANCE, "{0} is in {x}"),
    "only": NamedTest(0, lambda x: (x > TOLERANCE).sum(-1) == 1, "{x} has one coordinate only"),
    "balance": NamedTest(2, lambda x, c, d: np.abs(x[..., c] - x[..., d]) <= TOLERANCE, "{0} and {1} are equal in {x}"),
}


@dataclass(frozen=True)
class Number:
    """`2.5`."""

    value: float

    def __post_init__(self) -> None:
        finite(self.value)

    def text(self) -> str:
        return number_text(self.value)

    def words(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Coordinate:
    """`x["a"]`, `x[0]`, `(x / n)["a"]`."""

    read: Read
    label: Label

    def text(self) -> str:
        variable = self.read.text() if self.read.over is None else f"({self.read.text()})"
        return f"{variable}[{label_text(self.label)}]"

    def words(self) -> str:
        what = f"share of {label_text(self.label)} in" if isinstance(self.label, str) else f"coordinate {label_text(self.label)} of"
        return f"{what} {self.read.text() if self.read.over is None else f'({self.read.text()})'}"


@dataclass(frozen=True)
class Test:
    """`exists(x, "a")`, `only(x)`, `balance(x, "a", "b")`."""

    __test__ = False  # not one of pytest's

    name: str
    read: Read
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in TESTS:
            raise ProgramError(f"{self.name} is no test")
        if len(self.labels) != TESTS[self.name].coordinates:
            raise ProgramError(f"{self.name} takes a variable and {TESTS[self.name].coordinates} coordinates, not {len(self.labels)}")

    def text(self) -> str:
        return f"{self.name}({', '.join([self.read.text(), *map(label_text, self.labels)])})"

    def words(self) -> str:
        return f"(1 if {TESTS[self.name].words.format(*map(label_text, self.labels), x=self.read.text())}, else 0)"


@dataclass(frozen=True)
class Apply:
    """`relu(f)`, `max(f, g)`."""

    function: str
    arguments: tuple["Formula", ...]

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ProgramError(f"{self.function} is no function")
        wanted = FUNCTIONS[self.function].arguments
        if len(self.arguments) != wanted and not (wanted is None and len(self.arguments) >= 2):
            expected = "at least two arguments" if wanted is None else f"{wanted} argument"
            raise ProgramError(f"{self.function} takes {expected}, not {len(self.arguments)}")

    def text(self) -> str:
        return f"{self.function}({', '.join(a.text() for a in self.arguments)})"

    def words(self) -> str:
        if self.function == "step":
            return f"({FUNCTIONS['step'].words.format(_above(self.arguments[0]))})"
        return FUNCTIONS[self.function].words.format("; ".join(a.words() for a in self.arguments))


@dataclass(frozen=True)
class Arithmetic:
    """`f + g`, `f - g`, `f * g`, `f / g`."""

    operator: str
    left: "Formula"
    right: "Formula"

    def __post_init__(self) -> None:
        if self.operator not in ARITHMETIC:
            raise ProgramError(f"{self.operator} is no arithmetic operator")

    def text(self) -> str:
        return self._said(self.left.text(), self.right.text(), "*" if self.operator == "*" else f" {self.operator} ")

    def words(self) -> str:
        return self._said(self.left.words(), self.right.words(), " x " if self.operator == "*" else f" {self.operator} ")

    def _said(self, left: str, right: str, operator: str) -> str:
        """The two sides around the operator, in brackets where they need them."""
        product = self.operator in "*/"
        if product and isinstance(self.left, Arithmetic) and self.left.operator in "+-":
            left = f"({left})"
        if isinstance(self.right, Arithmetic) and (product or self.right.operator in "+-"):
            right = f"({right})"
        return f"{left}{operator}{right}"


@dataclass(frozen=True)
class Negate:
    """`-f`."""

    operand: "Formula"

    def text(self) -> str:
        plain = isinstance(self.operand, Coordinate | Test | Apply)
        return f"-{self.operand.text()}" if plain else f"-({self.operand.text()})"

    def words(self) -> str:
        return f"-({self.operand.words()})"


Formula = Number | Coordinate | Test | Apply | Arithmetic | Negate


def _above(formula: Formula) -> str:
    """That a formula is positive: what it adds is more than what it takes away."""
    added: list[str] = []
    taken: list[str] = []
    for sign, part in _signed(formula, True):
        (added if sign else taken).append(part.words())
    return f"{' + '.join(added) or '0'} > {' + '.join(taken) or '0'}"


def _signed(formula: Formula, sign: bool) -> Iterator[tuple[bool, Formula]]:
    """The terms of a sum, each with whether it is added."""
    if isinstance(formula, Negate):
        yield from _signed(formula.operand, not sign)
    elif isinstance(formula, Arithmetic) and formula.operator in "+-":
        yield from _signed(formula.left, sign)
        yield from _signed(formula.right, sign == (formula.operator == "+"))
    else:
        yield sign, formula


def walk(formula: Formula) -> Iterator[Formula]:
    """The formula and all its parts, from left to right."""
    yield formula
    if isinstance(formula, Apply):
        for argument in formula.arguments:
            yield from walk(argument)
    elif isinstance(formula, Arithmetic):
        yield from walk(formula.left)
        yield from walk(formula.right)
    elif isinstance(formula, Negate):
        yield from walk(formula.operand)


def reads_of(*formulas: Formula) -> tuple[Read, ...]:
    """What formulas read, each once, in the order of their first use."""
    found = (part.read for formula in formulas for part in walk(formula) if isinstance(part, Coordinate | Test))
    return tuple(dict.fromkeys(found))


def numbers_in(formula: Formula) -> int:
    """How many numbers are written in a formula."""
    return sum(isinstance(part, Number) for part in walk(formula))


def with_reads(formula: Formula, change: Callable[[Read], Read]) -> Formula:
    """The formula with every variable it reads replaced."""
    if isinstance(formula, Coordinate | Test):
        return replace(formula, read=change(formula.read))
    if isinstance(formula, Apply):
        return replace(formula, arguments=tuple(with_reads(argument, change) for argument in formula.arguments))
    if isinstance(formula, Arithmetic):
        return replace(formula, left=with_reads(formula.left, change), right=with_reads(formula.right, change))
    if isinstance(formula, Negate):
        return replace(formula, operand=with_reads(formula.operand, change))
    return formula
