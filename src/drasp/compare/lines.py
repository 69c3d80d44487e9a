"""The lines of a program as forms: what names they have, and in which order and with which primitives they are written, is gone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drasp.compare.terms import ONE, Array, Atom, Form, Terms, TooLarge
from drasp.ir.basis import Basis
from drasp.ir.formulas import Apply, Arithmetic, Coordinate, Formula, Negate, Number, Test
from drasp.ir.labels import Label
from drasp.ir.nodes import (
    Aggregate,
    Bilinear,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Read,
    Select,
    Sharpen,
    Statement,
    Table,
    addends,
)
from drasp.ir.program import Header, Program, sides, tensor_names


@dataclass(frozen=True)
class Ground:
    """What two programs have in common: the coordinates in which both are written down.

    Attributes:
        tokens, outputs: their names, in one order for both.
        positions: how many both have.
    """

    tokens: tuple[str, ...]
    outputs: tuple[str, ...]
    positions: int

    def places(self, basis: Basis, header: Header) -> Array:
        """Where the coordinates stand in a program's own basis."""
        if basis.kind == "token":
            return np.array([header.vocabulary.index(token) for token in self.tokens])
        if basis.kind == "output":
            return np.array([header.predicted.index(output) for output in self.outputs])
        if basis.kind == "pair":
            first, second = (self.places(part, header) for part in basis.parts)
            return (first[:, None] * basis.parts[1].size + second).ravel()
        return np.arange(self.positions if basis.kind == "position" else basis.size)


class Lines:
    """The forms of a program's lines, as far as they were read.

    Attributes:
        forms: by name.
        numbers: by name, the same for lines that are the same.
    """

    def __init__(self, terms: Terms, program: Program, ground: Ground) -> None:
        self.terms, self.program, self.header, self.ground = terms, program, program.header, ground
        token, pos = terms.one_hot("token", len(ground.tokens)), terms.one_hot("pos", ground.positions)
        self.forms: dict[str, Form] = {"token": {token: None}, "pos": {pos: None}, "one": {ONE: None}}
        self.numbers: dict[str, int] = {}

    def read(self, statement: Statement) -> None:
        """The next line; those that it reads were read before."""
        name = statement.name
        with np.errstate(all="ignore"):
            try:
                self.forms[name] = self._form(statement)
                self.numbers[name] = self._number(statement)
            except TooLarge:  # it is like no other line
                self.numbers[name] = self.terms.atom(("too large", id(self), name), (), Atom((self.columns(statement),)))
                self.forms[name] = {self.numbers[name]: None}

    def take(self, name: str, other: "Lines", others: str) -> None:
        """Takes a line for one of another program, whatever it says."""
        self.forms[name], self.numbers[name] = other.forms[others], other.numbers[others]

    def columns(self, statement: Statement) -> int:
        """How many coordinates the value of a line has."""
        if isinstance(statement, Select):
            return 1
        basis = self.header.output if isinstance(statement, Project | Prediction) else self.program.bases[statement.name]
        return len(self.ground.places(basis, self.header))

    def _number(self, statement: Statement) -> int:
        form, kind = self.forms[statement.name], "variable"
        if isinstance(statement, Select | Project | Prediction):
            kind = type(statement).__name__
        if isinstance(statement, Project | Prediction) and self.header.predict == "next-token":
            form = self.terms.without_mean(form)
        if isinstance(statement, Prediction):
            _, form = self.terms.scaled(form, by_column=self.header.predict == "next-token-set")
        return self.terms.form_number((kind, self.columns(statement)), form)

    def _form(self, s: Statement) -> Form:
        terms = self.terms
        match s:
            case Select():
                return terms.scores(self._taken(s.query), self._matrix(s), self._taken(s.key))
            case Aggregate():
                return self._average(s)
            case Project() | Table():
                return terms.through(self._taken(s.input), self._matrix(s))
            case Prediction():
                return terms.total([self.forms[name] for name in addends(s)])
            case Compare():
                return terms.form_product(self._taken(s.first), self._matrix(s), self._taken(s.second))
            case Pair():
                return terms.pairs(self._taken(s.first), self._taken(s.second))
            case Compute():
                return _side_by_side([self._formula(formula) for formula in s.formulas])
            case Case():
                branches = [(self._coordinate(s.input, label), self._formula(formula)) for label, formula in s.branches]
                return terms.total([terms.form_product(chosen, np.eye(1), value) for chosen, value in branches])
            case Norm():
                return self._norm(s)
            case Mlp():
                return self._mlp(s)
            case Harden():
                return self._harden(s)
            case Sharpen():
                return self._sharpen(s)

    def _taken(self, read: Read) -> Form:
        form = self.forms[read.variable]
        return form if read.over is None else self.terms.over(form, self.forms[read.over])

    def _matrix(self, statement: Bilinear) -> Array:
        """Its operator in the common coordinates."""
        rows, columns = sides(statement, self.program.bases, self.header)
        matrix = self.program.matrix(statement.name).astype(np.float64)[self.ground.places(rows, self.header)]
        return matrix if isinstance(statement, Table) else matrix[:, self.ground.places(columns, self.header)]

    def _average(self, s: Aggregate) -> Form:
        total = self.terms.total([self.forms[name] for name in s.selectors])
        scores = (self.terms.form_number("scores", total), self.header.bidirectional, self.header.pad)
        return {self.terms.average(scores, atom): matrix for atom, matrix in self._taken(s.value).items()}

    def _norm(self, s: Norm) -> Form:
        """The root of a form of products."""
        bases = [self.program.bases[read.variable] for read in s.inputs]
        starts = np.cumsum([0, *(basis.size for basis in bases)])
        places = [start + self.ground.places(basis, self.header) for start, basis in zip(starts, bases, strict=False)]
        matrix, inputs = self.program.matrix(s.name).astype(np.float64), [self._taken(read) for read in s.inputs]
        parts = [
            self.terms.form_product(x, matrix[np.ix_(rows, columns)], y)
            for x, rows in zip(inputs, places, strict=True)
            for y, columns in zip(inputs, places, strict=True)
        ]
        scale, square = self.terms.scaled(self.terms.total(parts))
        words = ("norm", self.terms.form_number(("variable", 1), square))
        return {self.terms.atom(words, [np.array(self.program.norm_eps(s) / scale)]): np.array([[np.sqrt(scale)]])}

    def _mlp(self, s: Mlp) -> Form:
        tensors, bases = self.program.operators, [self.program.bases[read.variable] for read in s.inputs]
        arrays = {name.removeprefix(s.op): tensors[name].astype(np.float64) for name in tensor_names(s) if name in tensors}
        into = [arrays.pop(f".in.{i}")[self.ground.places(basis, self.header)] for i, basis in enumerate(bases)]
        total = self.terms.total([self.terms.through(self._taken(read), its) for read, its in zip(s.inputs, into, strict=True)])
        words = ("mlp", s.act, s.norm, tuple(arrays), self.terms.form_number("mlp", total))
        return {self.terms.atom(words, list(arrays.values()), Atom((self.columns(s),), (None,))): None}

    def _harden(self, s: Harden) -> Form:
        """Of equals it takes the first, so that the order of named coordinates counts, and how many positions there are."""
        size, kind = self.columns(s), self.program.bases[s.name].kind
        order = None if kind in ("derived", "residual", "one") else (self.header.vocabulary, self.header.predicted, self.header.positions)
        _, least = self.terms.scaled(self.terms.without_mean(self._taken(s.input)))
        return {self.terms.one_hot(("harden", order, self.terms.form_number(("variable", size), least)), size): None}

    def _sharpen(self, s: Sharpen) -> Form:
        size, (_, least) = self.columns(s), self.terms.scaled(self._taken(s.input))
        words = ("sharpen", self.terms.form_number(("variable", size), least))
        return {self.terms.atom(words, [np.array(s.power)], Atom((size,), (None,))): None}

    def _coordinate(self, read: Read, label: Label) -> Form:
        basis = self.program.bases[read.variable]
        chosen = self.ground.places(basis, self.header) == self.header.axis(basis).index(label)
        return self.terms.through(self._taken(read), chosen.astype(np.float64)[:, None])

    def _formula(self, f: Formula) -> Form:
        terms = self.terms
        match f:
            case Number():
                return {ONE: np.array([[f.value]])}
            case Coordinate():
                return self._coordinate(f.read, f.label)
            case Negate():
                return _times(self._formula(f.operand), -1)
            case Arithmetic("+" | "-"):
                return terms.total([self._formula(f.left), _times(self._formula(f.right), 1 if f.operator == "+" else -1)])
            case Arithmetic("*"):
                return terms.form_product(self._formula(f.left), np.eye(1), self._formula(f.right))
            case Arithmetic():
                return terms.over(self._formula(f.left), self._formula(f.right))
            case Apply():
                return self._applied(f)
        return self._test(f)

    def _applied(self, f: Apply) -> Form:
        arguments = [self._formula(argument) for argument in f.arguments]
        scale = 1.0
        if f.function in ("step", "sign", "relu"):
            scale, arguments[0] = self.terms.scaled(arguments[0])
        numbers = sorted(self.terms.form_number(("variable", 1), argument) for argument in arguments)
        found = self.terms.atom((f.function, *numbers))
        return {found: np.array([[scale if f.function == "relu" else 1.0]])}

    def _test(self, f: Test) -> Form:
        tested = [self._coordinate(f.read, label) for label in f.labels] or [self._taken(f.read)]
        size = 1 if f.labels else len(self.ground.places(self.program.bases[f.read.variable], self.header))
        numbers = sorted(self.terms.form_number(("variable", size), form) for form in tested)
        return {self.terms.atom((f.name, *numbers)): np.eye(1)}


def _times(form: Form, factor: float) -> Form:
    """A form of one column, times a number."""
    return {atom: (np.eye(1) if matrix is None else matrix) * factor for atom, matrix in form.items()}


def _side_by_side(forms: Sequence[Form]) -> Form:
    """Forms of one column each as the columns of one form."""
    found: dict[int, Array] = {}
    for place, form in enumerate(forms):
        for atom, matrix in form.items():
            written = np.eye(1) if matrix is None else matrix
            found.setdefault(atom, np.zeros((len(written), len(forms))))[:, place] += written[:, 0]
    return dict[int, Array | None](found)
