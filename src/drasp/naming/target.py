"""A matrix to be described: what of it no gauge can change, and how well primitives explain that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from drasp.ir.axis import Axis
from drasp.ir.operators import Sum, Symbolic
from drasp.ir.primitives.primitive import Primitive
from drasp.naming.families import Family, families, only
from drasp.naming.gauge import Gauge, centred, group_sums
from drasp.naming.tuning import OperatorTuning

Array = np.ndarray[Any, Any]
Primitives = tuple[Primitive, ...]


@dataclass(frozen=True)
class Described:
    """One description of a matrix.

    Attributes:
        op: the operator.
        error: the weighted share of the matrix's variation, modulo the gauge, that the operator lacks: 1 - R squared.
        numbers: the free numbers of the operator.
    """

    op: Symbolic
    error: float
    numbers: int

    @property
    def terms(self) -> int:
        """Of all its sums."""
        return len(self.op.all_terms)


@dataclass(frozen=True)
class Candidate:
    """A primitive, what it would explain, whether that is worth its numbers, and whether it was made to fit."""

    primitive: Primitive
    gain: float
    worth: float
    fitted: bool


@dataclass(frozen=True)
class Sides:
    """The two sides of a matrix, and what follows from them.

    Attributes:
        rows, columns: those of `Header.axis`, with the task's order of tokens.
        gauge: what of the matrix is free.
        tuning: of the naming.
    """

    rows: Axis
    columns: Axis
    gauge: Gauge
    tuning: OperatorTuning

    @cached_property
    def dictionary(self) -> tuple[Family, ...]:
        """The families of primitives that fit."""
        return families(self.rows, self.columns, self.gauge, self.tuning)


class Target:
    """A matrix to be described: what of it no gauge can change, and how well primitives explain that.

    Attributes:
        matrix, weights: (rows, columns); the weights sum to 1.
        sides: what its rows and columns are, also in `rows`, `columns`, `gauge` and `tuning`.
        mass: the sums of the weights over what one constant is added to.
        free: booleans (rows) and (columns), what never occurs.
        goal: the matrix without its gauge, times the roots of the weights, in one row; `total` is its square.
        best: the primitive to add to a set of terms, as far as it has been sought.
    """

    def __init__(self, matrix: Array, weights: Array, sides: Sides) -> None:
        self.matrix = matrix.astype(np.float64)
        self.weights = weights / weights.sum()
        self.sides = sides
        self.rows, self.columns, self.tuning = sides.rows, sides.columns, sides.tuning
        self.gauge: Gauge = sides.gauge
        self.mass = group_sums(self.weights, self.gauge)
        self.free = (weights.max(1) <= 0, weights.max(0) <= 0)
        self._root = np.sqrt(self.weights)
        self._features: dict[Primitive, Array] = {}
        self._products: dict[Primitive, float] = {}
        self._grams: dict[tuple[Primitive, Primitive], float] = {}
        self._solved: dict[Primitives, tuple[Array, float]] = {}
        self.best: dict[tuple[frozenset[Primitive], bool], Candidate | None] = {}
        self._crossed: dict[tuple[int, Primitive], Array] = {}
        self.goal = self._centred(self.matrix)
        self.total = float(self.goal @ self.goal)
        if self.total < 1e-20 * float(np.abs(self.matrix).max()) ** 2:  # all gauge, but for rounding errors
            self.goal, self.total = np.zeros_like(self.goal), 0.0

    def without(self, excluded: Array) -> "Target":
        """The same, some rows left out; the rest must have weight."""
        weights = np.where(excluded[:, None], 0, self.weights)
        return Target(self.matrix, weights, self.sides)

    def minus(self, op: Sum) -> "Target":
        """What an operator leaves."""
        matrix = self.matrix - op.matrix(self.rows, self.columns)
        return Target(matrix, self.weights, self.sides)

    def row(self, index: int) -> "Target":
        """One row alone."""
        rows = only(self.rows, self.rows.ids[[index]])
        return Target(self.matrix[[index]], self.weights[[index]], replace(self.sides, rows=rows))

    def _centred(self, matrix: Array) -> Array:
        """Without the gauge, times the roots of the weights, in one row: squares of this are errors."""
        full = np.broadcast_to(matrix, self.weights.shape)
        return (centred(full, self.weights, self.gauge) * self._root).ravel()

    def feature(self, primitive: Primitive) -> Array:
        """A primitive's matrix, without the gauge, in one row."""
        if primitive not in self._features:
            self._features[primitive] = self._centred(primitive.matrix(self.rows, self.columns).astype(np.float64))
        return self._features[primitive]

    @cached_property
    def norms(self) -> tuple[Array, ...]:
        """For each family the squares of its primitives' features; 0 for a primitive that is all gauge."""
        found = []
        for family in self.sides.dictionary:
            size = family.table.shape[1]
            rows = np.arange(len(self.weights))[:, None]
            by_row = np.bincount((family.cells + size * rows).ravel(), self.weights.ravel(), size * len(rows)).reshape(-1, size)
            means = row_sums_summed(by_row @ family.table.T, self.gauge)
            mass = np.where(self.mass == 0, 1, self.mass)
            squares = by_row.sum(0) @ (family.table**2).T
            norms = squares - (means**2 / mass).sum(0)
            found.append(np.where(norms > 1e-9 * squares, norms, 0))
        return tuple(found)

    def system(self, primitives: Primitives) -> tuple[Array, Array]:
        """The normal equations of some primitives' strengths: the products of their features with each other and with the goal."""
        for p in primitives:
            if p not in self._products:
                self._products[p] = float(self.feature(p) @ self.goal)
            for other in primitives:
                if (p, other) not in self._grams:
                    self._grams[p, other] = self._grams[other, p] = float(self.feature(p) @ self.feature(other))
        gram = np.array([self._grams[p, other] for p in primitives for other in primitives]).reshape(len(primitives), len(primitives))
        return gram, np.array([self._products[p] for p in primitives])

    def products(self, number: int, values: Array) -> Array:
        """The product of every primitive of a family with a matrix."""
        family = self.sides.dictionary[number]
        return family.table @ np.bincount(family.cells.ravel(), values.ravel(), family.table.shape[1])

    def crossed(self, number: int, primitive: Primitive) -> Array:
        """The product of every feature of a family with that of one primitive."""
        if (number, primitive) not in self._crossed:
            self._crossed[number, primitive] = self.products(number, self.feature(primitive).reshape(self.weights.shape) * self._root)
        return self._crossed[number, primitive]

    def solve(self, primitives: Primitives) -> tuple[Array, float]:
        """The best strengths of some primitives, and what they leave unexplained."""
        if primitives not in self._solved:
            free = [None] * len(primitives)
            self._solved[primitives] = solve(*self.system(primitives), self.total, free) if primitives else (np.zeros(0), self.total)
        return self._solved[primitives]

    def residual(self, primitives: Primitives) -> Array:
        """What is left of the matrix, without the gauge, times the weights: its product with a matrix is that matrix's gain."""
        rest = self.goal
        for strength, primitive in zip(self.solve(primitives)[0], primitives, strict=True):
            rest = rest - strength * self.feature(primitive)
        return rest.reshape(self.weights.shape) * self._root

    def described(self, op: Symbolic) -> Described:
        """An operator with its error."""
        rest = self._centred(self.matrix - op.matrix(self.rows, self.columns))
        error = float(rest @ rest)
        if self.gauge == "constant":  # the constant is part of such a matrix
            error += float((self.weights * (self.matrix - op.matrix(self.rows, self.columns))).sum()) ** 2
        return Described(op, error / self.total if self.total > 0 else float(error > 0), op.numbers())


def row_sums_summed(values: Array, gauge: Gauge) -> Array:
    """Sums (rows or 1, n) of what has been summed along each row already (rows, n)."""
    return values if gauge == "row" else values.sum(0, keepdims=True)


def solve(gram: Array, products: Array, total: float, fixed: Sequence[float | None]) -> tuple[Array, float]:
    """The best strengths of some terms by least squares, and what they leave unexplained of `total`.

    Args:
        gram, products: (terms, terms) and (terms), the products of the terms with each other and with the goal.
        fixed: the strengths that are given, None for those that are free.
    """
    strengths = np.array([0.0 if f is None else f for f in fixed])
    free = [i for i, f in enumerate(fixed) if f is None]
    if free:
        wanted = products[free] - gram[free] @ strengths
        strengths[free] = np.linalg.lstsq(gram[free][:, free], wanted, rcond=1e-10)[0]
    return strengths, max(0.0, float(total - 2 * strengths @ products + strengths @ gram @ strengths))
