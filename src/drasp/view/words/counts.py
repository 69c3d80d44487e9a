"""Logits as sums of counts: exact, where attention goes by tokens alone and what is behind it is linear.

Under such attention a token t that stands c_t times has the share w_t c_t / Z, with w_t the exponential of its score. So a sum of shares
and numbers, times Z, is a sum of counts, and whether it is positive is an inequality between counts. Here `<bos>` stands once, in front.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, gcd

import numpy as np

from drasp.ir.formulas import ARITHMETIC, FUNCTIONS, Apply, Arithmetic, Coordinate, Formula, Negate, Number, Read, Test
from drasp.ir.nodes import ONE_READ, TOKEN, Aggregate, Case, Compute, Project, Select, Table
from drasp.ir.program import Program
from drasp.view.words.conditions import Condition, Constant, Tally
from drasp.view.words.scene import Array

Direction = tuple[tuple[int, int], ...]

LARGEST_FACTOR = 4
EXACT = 1e-6
LARGEST_SCORE = 300.0
"""Whose exponential is a number with room to spare."""


class NotLinear(Exception):
    """What is asked for is no sum of shares."""


@dataclass(frozen=True, eq=False)
class Linear:
    """For one current token: shares of tokens times numbers, and a number.

    Attributes:
        shares: (vocabulary).
    """

    shares: Array
    constant: float

    def __add__(self, other: "Linear") -> "Linear":
        return Linear(self.shares + other.shares, self.constant + other.constant)

    def __mul__(self, factor: float) -> "Linear":
        return Linear(self.shares * factor, self.constant * factor)


class Counts:
    """What the outputs of a program are, where this token is a certain one."""

    def __init__(self, program: Program, token: int) -> None:
        self.program = program
        self.token = token
        self.size = len(program.header.vocabulary)
        self.weights: Array | None = None
        """Of the keys by their tokens; None as long as no attention is read."""

    def condition(self, output: int) -> Condition | None:
        """When an output is positive; None where that is no inequality of counts with small whole numbers."""
        terms = self.terms(output)
        return None if terms is None else self._solved(terms)

    def terms(self, output: int) -> Array | None:
        """What each token adds to an output, by its id: the output is positive where the sum is; None where it is no such sum."""
        self.weights = None
        total = self._constant(0)
        try:
            for name in self.program.prediction.logits:
                total = total + self._project(name, output)
        except NotLinear:
            return None
        weights = np.ones(self.size) if self.weights is None else self.weights
        found: Array = (total.shares + total.constant) * weights
        return found

    def _solved(self, terms: Array) -> Condition | None:
        header = self.program.header
        bos = header.vocabulary.index("<bos>") if "<bos>" in header.vocabulary else None
        offset = 0.0 if bos is None else float(terms[bos])
        if self.token == bos:
            return Constant(offset > 0)
        symbols = {int(symbol): float(terms[symbol]) for symbol in header.symbols}
        if self.token not in symbols:
            return None
        factors = whole(symbols)
        if factors is None:
            return None
        unit, direction = factors
        if not direction:
            return Constant(offset > 0)
        return self._inequality(direction, -offset / unit)

    def _inequality(self, direction: Direction, bound: float) -> Condition:
        """That the sum of counts is more than a number; this token stands there once at least."""
        nearest = round(bound)
        least = nearest + 1 if abs(bound - nearest) < EXACT else floor(bound) + 1
        signs = {factor > 0 for _, factor in direction}
        here = dict(direction).get(self.token, 0)
        if signs == {True} and here >= least:
            return Constant(True)
        if signs == {False} and here < least:
            return Constant(False)
        if direction[0][1] > 0:
            return Tally(direction, "at least", least)
        return Tally(tuple((token, -factor) for token, factor in direction), "at most", -least)

    def _constant(self, value: float) -> Linear:
        return Linear(np.zeros(self.size), float(value))

    def _project(self, name: str, output: int) -> Linear:
        statement = self.program.by_name[name]
        assert isinstance(statement, Project)
        column = self.program.matrix(name)[:, output]
        total = self._constant(0)
        for index in np.flatnonzero(column):
            total = total + self._coordinate(statement.input, int(index)) * float(column[index])
        return total

    def _coordinate(self, read: Read, index: int) -> Linear:
        if read == TOKEN:
            return self._constant(index == self.token)
        if read == ONE_READ:
            return self._constant(1)
        if read.over is not None or read.variable == "pos":
            raise NotLinear
        statement = self.program.by_name[read.variable]
        if isinstance(statement, Aggregate) and statement.value == TOKEN:
            self._attend(statement)
            return Linear(np.eye(self.size)[index], 0.0)
        if isinstance(statement, Compute):
            return self._formula(statement.formulas[index])
        if isinstance(statement, Case) and statement.input == TOKEN:
            return self._formula(dict(statement.branches).get(self.program.header.vocabulary[self.token], Number(0)))
        if isinstance(statement, Table) and statement.input == TOKEN:
            return self._constant(self.program.matrix(statement.name)[self.token, index])
        raise NotLinear

    def _attend(self, statement: Aggregate) -> None:
        """The weights of an attention; all that are read must be the same."""
        weights = self.weights_of(statement)
        if weights is None or (self.weights is not None and not np.allclose(self.weights, weights, rtol=EXACT, atol=0)):
            raise NotLinear
        self.weights = weights

    def weights_of(self, statement: Aggregate) -> Array | None:
        """How often each token counts, one that the selectors say nothing of once; None where attention goes by more than tokens."""
        if self.program.header.bidirectional or self.program.header.pad is not None or statement.value != TOKEN:
            return None
        scores = np.zeros(self.size)
        for name in statement.selectors:
            select = self.program.by_name[name]
            assert isinstance(select, Select)
            if select.key != TOKEN or select.query not in (TOKEN, ONE_READ):
                return None
            scores += self.program.matrix(name)[self.token if select.query == TOKEN else 0]
        return np.exp(scores if np.abs(scores).max() < LARGEST_SCORE else scores - scores.max())

    def _formula(self, formula: Formula) -> Linear:
        if isinstance(formula, Number):
            return self._constant(formula.value)
        if isinstance(formula, Coordinate):
            axis = self.program.header.axis(self.program.bases[formula.read.variable])
            return self._coordinate(formula.read, axis.index(formula.label))
        if isinstance(formula, Negate):
            return self._formula(formula.operand) * -1
        if isinstance(formula, Apply):
            return self._constant(float(FUNCTIONS[formula.function].compute(*map(self._number, formula.arguments))))
        if isinstance(formula, Test):
            raise NotLinear
        return self._arithmetic(formula)

    def _number(self, formula: Formula) -> Array:
        """The value of a formula that reads no share."""
        found = self._formula(formula)
        if found.shares.any():
            raise NotLinear
        return np.array(found.constant)

    def _arithmetic(self, formula: Arithmetic) -> Linear:
        left, right = self._formula(formula.left), self._formula(formula.right)
        if formula.operator in "+-":
            return left + right * (1 if formula.operator == "+" else -1)
        if formula.operator == "*" and not left.shares.any():
            left, right = right, left
        if right.shares.any():
            raise NotLinear
        return left * float(ARITHMETIC[formula.operator](np.array(1.0), np.array(right.constant)))


def whole(numbers: Mapping[int, float]) -> tuple[float, Direction] | None:
    """A positive unit of which all numbers are small whole multiples, and these but for zeros, in order; None where there is none."""
    largest = max(map(abs, numbers.values()), default=0.0)
    kept = {token: value for token, value in numbers.items() if abs(value) > EXACT * largest}
    if not kept:
        return 1.0, ()
    least = min(map(abs, kept.values()))
    for divisor in range(1, LARGEST_FACTOR + 1):
        unit = least / divisor
        factors = {token: round(value / unit) for token, value in kept.items()}
        close = all(abs(value / unit - factors[token]) <= EXACT * abs(factors[token]) for token, value in kept.items())
        if close and max(map(abs, factors.values())) <= LARGEST_FACTOR:
            common = gcd(*factors.values())
            return unit * common, tuple((token, factor // common) for token, factor in factors.items())
    return None
