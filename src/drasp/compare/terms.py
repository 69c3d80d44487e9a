"""What a line computes, in a form that does not tell how it is written.

A *form* is a sum of atoms, each times a matrix: `2*token["a"] - a1["b"] + 1` is `token`, `a1` and `one`, times a column each. An *atom* is
what cannot be taken apart: a built-in variable, an average under some scores, a product of two atoms, a step of a form. Both have numbers,
the same number for the same thing in all programs that are compared.

The gauge is taken out where a form gets its number. The coordinates of some atoms sum to another atom, those of `token` to `one`: of their
matrices the mean over these coordinates is moved there. Scores that depend on the query alone are left out.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Form = dict[int, Array | None]
"""By atom the matrix (coordinates of the atom, columns); None is the identity."""

ONE, NOTHING = 0, 1
"""The atom `one`, and that of scores which depend on the query alone."""

CLOSE = 1e-9  # numbers that are as close are the same
LARGEST_EYE = 1024  # coordinates up to which an identity is written out
MOST_ENTRIES = 1 << 24  # numbers in one matrix: 128 MB


class TooLarge(Exception):
    """A form that would take too much memory to write out."""


@dataclass(frozen=True)
class Atom:
    """What is known of an atom.

    Attributes:
        shape: how many coordinates it has, along each axis for products.
        sums: for each axis, the atom that the coordinates along it sum to; None where there is none.
        total: the atom that all its coordinates sum to, if any.
        rank: larger than that of `sums` and `total`.
        one_hot: whether one coordinate is 1 and the others are 0.
    """

    shape: tuple[int, ...] = (1,)
    sums: tuple[int | None, ...] = (None,)
    total: int | None = None
    rank: int = 0
    one_hot: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)


class Terms:
    """The numbers of atoms and forms."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[tuple[int, tuple[Array, ...]]]] = {}
        self._count = 0
        self.atoms: dict[int, Atom] = {}
        self.atom("one")
        self.atom("nothing")

    def number(self, words: Hashable, arrays: Sequence[Array] = ()) -> int:
        """The number of what is described by words and arrays."""
        alike = self._known.setdefault((words, tuple(array.shape for array in arrays)), [])
        for number, held in alike:
            if all(np.allclose(x, y, CLOSE, CLOSE) for x, y in zip(held, arrays, strict=True)):
                return number
        self._count += 1
        alike.append((self._count - 1, tuple(arrays)))
        return self._count - 1

    def atom(self, words: Hashable, arrays: Sequence[Array] = (), about: Atom = Atom()) -> int:
        number = self.number(words, arrays)
        self.atoms.setdefault(number, about)
        return number

    def one_hot(self, words: Hashable, size: int) -> int:
        return self.atom(words, (), Atom((size,), (ONE,), ONE, 1, one_hot=True))

    def average(self, scores: Hashable, atom: int) -> int:
        return ONE if atom == ONE else self._wrapped(("average", scores, atom), atom, lambda its: self.average(scores, its))

    def quotient(self, atom: int, divisor: int) -> int:
        return self._wrapped(("quotient", atom, divisor), atom, lambda its: self.quotient(its, divisor))

    def _wrapped(self, words: Hashable, atom: int, wrap: Callable[[int], int]) -> int:
        """An atom that is linear in another one."""
        inner = self.atoms[atom]
        sums = tuple(None if its is None else wrap(its) for its in inner.sums)
        return self.atom(words, (), Atom(inner.shape, sums, None if inner.total is None else wrap(inner.total), inner.rank))

    def product(self, first: int, second: int) -> int:
        """At one position each coordinate of one times each of the other."""
        if ONE in (first, second):
            return max(first, second)
        return self._joined("product", first, second, lambda a, b: self.product(min(a, b), max(a, b)))

    def cross(self, query: int, key: int) -> int:
        """A coordinate at the query times one at the key."""
        return NOTHING if key == ONE else self._joined("cross", query, key, self.cross)

    def _joined(self, word: str, first: int, second: int, join: Callable[[int, int], int]) -> int:
        a, b = self.atoms[first], self.atoms[second]
        left = None if a.total is None else join(a.total, second)
        right = None if b.total is None else join(first, b.total)
        total = None if a.total is None or b.total is None else join(a.total, b.total)
        return self.atom((word, first, second), (), Atom((a.size, b.size), (left, right), total, a.rank + b.rank))

    # Forms.

    def through(self, form: Form, matrix: Array) -> Form:
        """`x B`."""
        return {atom: matrix if its is None else its @ matrix for atom, its in form.items()}

    def total(self, forms: Sequence[Form]) -> Form:
        found: Form = {}
        for form in forms:
            for atom, matrix in form.items():
                found[atom] = self._written(atom, found[atom]) + self._written(atom, matrix) if atom in found else matrix
        return found

    def _written(self, atom: int, matrix: Array | None) -> Array:
        """The matrix, also of an identity."""
        if matrix is None and self.atoms[atom].size > LARGEST_EYE:
            raise TooLarge
        return np.eye(self.atoms[atom].size) if matrix is None else matrix

    def scores(self, query: Form, matrix: Array, key: Form) -> Form:
        """`x_i A y_j`, the pairs of coordinates as rows."""
        parts: list[Form] = [{self.cross(a, b): bilinear(x, matrix, y)} for a, x in query.items() for b, y in key.items()]
        return self.total([part for part in parts if NOTHING not in part])

    def form_product(self, first: Form, matrix: Array, second: Form) -> Form:
        """`x A y` at one position, which is the same as `y A' x`."""
        parts: list[Form] = []
        for a, x in first.items():
            for b, y in second.items():
                (low, its), (high, others), middle = ((a, x), (b, y), matrix) if a <= b else ((b, y), (a, x), matrix.T)
                found = bilinear(its, middle, others)
                square = found.reshape(self.atoms[low].size, -1)
                if a == b and self.atoms[a].one_hot:
                    parts.append({a: square.diagonal()[:, None]})
                else:
                    parts.append({self.product(low, high): found if a != b else ((square + square.T) / 2).reshape(-1, 1)})
        return self.total(parts)

    def pairs(self, first: Form, second: Form) -> Form:
        """Each column of one times each of the other."""
        parts: list[Form] = []
        for a, x in first.items():
            for b, y in second.items():
                if x is None and y is None and self.atoms[a].size * self.atoms[b].size > LARGEST_EYE:
                    parts.append({self.product(a, b): None})
                    continue
                x, y = self._written(a, x), self._written(b, y)
                if x.size * y.size > MOST_ENTRIES:
                    raise TooLarge
                letters = "ap,bq->abpq" if a <= b else "ap,bq->bapq"
                joined = np.einsum(letters, x, y).reshape(len(x) * len(y), -1)
                parts.append({self.product(min(a, b), max(a, b)): joined})
        return self.total(parts)

    def over(self, form: Form, divisor: Form) -> Form:
        """`x / n`; 0 where n is 0."""
        scale, least = self.scaled(divisor)
        if not least:
            return {}
        if least.keys() == {ONE}:
            by = scale * float(np.sign(self._written(ONE, least[ONE])).item())
            return {atom: self._written(atom, matrix) / by for atom, matrix in form.items()}
        number = self.form_number("variable", least)
        return {self.quotient(a, number): matrix if scale == 1 else self._written(a, matrix) / scale for a, matrix in form.items()}

    def centred(self, form: Form) -> Form:
        """The form with its gauge taken out; what is 0 is left out."""
        waiting, done = dict(form), Form()
        while waiting:
            atom = max(waiting, key=lambda its: self.atoms[its].rank)
            matrix, about = waiting.pop(atom), self.atoms[atom]
            if matrix is None and about.size > LARGEST_EYE:
                done[atom] = None
                continue
            written = self._written(atom, matrix)
            cube = written.reshape(*about.shape, -1)
            for axis, target in enumerate(about.sums):
                if target is not None:
                    mean = cube.mean(axis, keepdims=True)
                    cube = cube - mean
                    if target != NOTHING:
                        waiting = self.total([waiting, {target: mean.reshape(-1, cube.shape[-1])}])
            if not np.abs(cube).max(initial=0) <= CLOSE:  # what is no number is kept
                done[atom] = cube.reshape(written.shape)
        return done

    def without_mean(self, form: Form) -> Form:
        """The form without what is added to all columns alike."""
        found: Form = {}
        for atom, matrix in form.items():
            large = matrix is None and self.atoms[atom].size > LARGEST_EYE
            written = None if large else self._written(atom, matrix)
            found[atom] = None if written is None else written - written.mean(1, keepdims=True)
        return found

    def scaled(self, form: Form, by_column: bool = False) -> tuple[Any, Form]:
        """The largest number of a centred form, or of each column, and the form divided by it."""
        found = self.centred(form)
        if not found or any(matrix is None for matrix in found.values()):
            return 1.0, found
        sizes = np.concatenate([np.abs(self._written(atom, matrix)) for atom, matrix in found.items()]).max(0)
        largest = sizes if by_column else sizes.max(keepdims=True)
        scale = np.where(largest > CLOSE, largest, np.inf)
        divided: Form = {atom: self._written(atom, matrix) / scale for atom, matrix in found.items()}
        return (scale if by_column else float(scale[0])), self.centred(divided)

    def form_number(self, kind: Hashable, form: Form) -> int:
        """The number of a form; forms of different kinds never have the same."""
        found = sorted(self.centred(form).items())
        words = ("form", kind, tuple((atom, matrix is None) for atom, matrix in found))
        return self.number(words, [matrix for _, matrix in found if matrix is not None])


def bilinear(left: Array | None, matrix: Array, right: Array | None) -> Array:
    """`M A N'` as one column, None being an identity."""
    rows, columns = (side if its is None else len(its) for its, side in zip((left, right), matrix.shape, strict=True))
    if rows * columns > MOST_ENTRIES:
        raise TooLarge
    found = matrix if left is None else left @ matrix
    return (found if right is None else found @ right.T).reshape(-1, 1)
