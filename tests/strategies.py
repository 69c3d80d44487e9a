"""Hypothesis strategies: random legal programs over everything the language has."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from drasp.ir.activations import ACTIVATIONS
from drasp.ir.axis import Side
from drasp.ir.basis import NAMED, Basis
from drasp.ir.formulas import FUNCTIONS, TESTS, Apply, Arithmetic, Coordinate, Formula, Negate, Number, Read, Test
from drasp.ir.labels import Label, Range
from drasp.ir.nodes import (
    Aggregate,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.norms import NORMS
from drasp.ir.operators import HARD, Dense, Except, Operator, Sum, Term
from drasp.ir.primitives.comparison import COMPARISONS, Comparison
from drasp.ir.primitives.difference import Difference, Log
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import And, Not, Or
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.nearest import Nearest
from drasp.ir.primitives.place import First, Last
from drasp.ir.primitives.primitive import Predicate, Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.ir.primitives.total import Total
from drasp.ir.program import Header, Program
from drasp.run.meaning import meaning

Draw = Callable[[st.SearchStrategy[Any]], Any]

WIDEST_PAIR = 40
TOKENS = ("a", "b", "0", "1", "2", "3", "10", "<bos>", "<eos>", "<not special", '"', "\\", "#", " ", "é\u2028", "")

small_numbers = st.one_of(st.integers(-12, 12).map(float), st.integers(-40, 40).map(lambda n: n / 8))
any_numbers = st.one_of(small_numbers, st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def headers(draw: Draw) -> Header:
    tokens = st.one_of(st.sampled_from(TOKENS), st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
    vocabulary = tuple(draw(st.lists(tokens, min_size=1, max_size=8, unique=True)))
    order = None
    if draw(st.booleans()):
        kept = draw(st.lists(st.sampled_from(vocabulary), min_size=1, unique=True))
        order = tuple(sorted(kept, key=vocabulary.index) if draw(st.booleans()) else kept)
    predict = draw(st.sampled_from(["next-token", "next-token-set"]))
    pad = draw(st.sampled_from([None, *vocabulary]))
    outputs = tuple(draw(st.lists(tokens, min_size=1, max_size=4, unique=True))) if draw(st.integers(0, 3)) == 0 else None
    return Header(vocabulary, draw(st.integers(1, 9)), predict, order, draw(st.booleans()), pad, outputs)


class _Side:
    """What a strategy must know about one side of an operator."""

    def __init__(self, header: Header, basis: Basis) -> None:
        self.header = header
        self.basis = basis
        self.has_order = basis.kind not in ("pair", "residual", "output") and (basis.kind != "token" or header.order is not None)

    def labels(self) -> st.SearchStrategy[Label]:
        return _labels(self.header, self.basis)

    def ordered_labels(self) -> st.SearchStrategy[Label]:
        return st.sampled_from(self.header.order) if self.basis.kind == "token" and self.header.order else self.labels()

    def label_lists(self) -> st.SearchStrategy[list[Label]]:
        return st.lists(self.labels(), min_size=1, max_size=3, unique=True)

    def members(self) -> st.SearchStrategy[tuple[Label | Range, ...]]:
        choices: list[st.SearchStrategy[Any]] = [self.labels()]
        if self.basis.kind != "pair":
            choices.append(self.ranges())
        return st.lists(st.one_of(choices), min_size=1, max_size=3, unique=True).map(tuple)

    def ranges(self) -> st.SearchStrategy[Range]:
        names: tuple[Any, ...] = tuple(range(self.basis.size))
        if self.basis.kind in NAMED:
            names = self.header.vocabulary if self.basis.kind == "token" else self.header.predicted
        ends = st.tuples(st.integers(0, len(names) - 1), st.integers(0, len(names) - 1)).map(sorted)
        return ends.map(lambda pair: Range(names[pair[0]], names[pair[1]]))


def _labels(header: Header, basis: Basis) -> st.SearchStrategy[Label]:
    if basis.kind in NAMED:
        return st.sampled_from(header.vocabulary if basis.kind == "token" else header.predicted)
    if basis.kind == "pair":
        return st.tuples(_labels(header, basis.parts[0]), _labels(header, basis.parts[1]))
    return st.integers(0, basis.size - 1)


class _Operators:
    """Symbolic operators between two bases; `narrow` where they may speak of the rows only, as in a table."""

    def __init__(self, draw: Draw, header: Header, rows: Basis, columns: Basis, numbers: st.SearchStrategy[float], narrow: bool) -> None:
        self.draw = draw
        self.sides: dict[Side, _Side] = {"row": _Side(header, rows), "column": _Side(header, columns)}
        self.numbers = numbers
        self.narrow = narrow

    def operator(self) -> Operator:
        base = self.sum()
        if self.draw(st.integers(0, 4)):
            return base
        return Except(base, tuple((label, self.sum()) for label in self.draw(self.sides["row"].label_lists())))

    def sum(self) -> Sum:
        terms = tuple(self.term() for _ in range(self.draw(st.integers(0, 3))))
        return Sum(terms, self.draw(self.numbers) if self.draw(st.booleans()) else 0.0)

    def term(self) -> Term:
        primitive = self.primitive()
        return Term(self.draw(st.one_of(self.numbers, st.sampled_from([1.0, -1.0, HARD, -HARD]))), primitive)

    def primitive(self) -> Primitive:
        row, column = self.sides["row"], self.sides["column"]
        kinds = ["predicate", "relation", "rows"]
        if row.basis.size == 1 or column.basis.size == 1:
            kinds.append("entries")
        if column.has_order and not self.narrow:
            kinds += ["last", "first"]
        if column.has_order and row.has_order and not self.narrow:
            kinds += ["difference", "log", "nearest"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "relation":
            return Relation(tuple((label, self.draw(column.members())) for label in self.draw(row.label_lists())))
        if kind == "rows":
            return Rows(tuple((label, self.entries(column)) for label in self.draw(row.label_lists())))
        if kind == "entries":
            return Entries(self.entries(column if row.basis.size == 1 else row))
        if kind in ("last", "first"):
            return Last() if kind == "last" else First()
        if kind in ("difference", "log"):
            difference = Difference(self.draw(st.sampled_from(["row", "column"])))
            return difference if kind == "difference" else Log(difference)
        return Nearest(self.predicate(1)) if kind == "nearest" else self.predicate(2)

    def entries(self, side: _Side) -> tuple[tuple[Label, float], ...]:
        return tuple((label, self.draw(self.numbers)) for label in self.draw(side.label_lists()))

    def predicate(self, depth: int) -> Predicate:
        kind = self.draw(st.sampled_from(["plain", "not", "and", "or"] if depth else ["plain"]))
        if kind == "not":
            return Not(self.predicate(depth - 1))
        if kind != "plain":
            parts = tuple(self.predicate(depth - 1) for _ in range(self.draw(st.integers(2, 3))))
            return And(parts) if kind == "and" else Or(parts)
        side: Side = "row" if self.narrow else self.draw(st.sampled_from(["row", "column"]))
        here, other = self.sides[side], self.sides["column" if side == "row" else "row"]
        forms = ["label", "member"]
        if here.has_order:
            forms += ["order", "modulo", "remainders"]
        if not self.narrow and here.basis == other.basis:
            forms.append("same")
        if not self.narrow and here.has_order and other.has_order:
            forms += ["two", "total"]
        form = self.draw(st.sampled_from(forms))
        equality = st.sampled_from(["==", "!="])
        if form == "label":
            return Comparison(Index(side), self.draw(equality), self.draw(here.labels()))
        if form == "member":
            return Member(Index(side), self.draw(here.members()))
        if form == "total":
            modulo = self.draw(st.one_of(st.none(), st.integers(2, 5)))
            return Total(self.draw(st.integers(0, (modulo or 9) - 1)), modulo)
        if form == "order":
            index = Index(side, self.draw(st.integers(-3, 3)))
            return Comparison(index, self.draw(st.sampled_from(["<", "<=", ">", ">="])), self.draw(here.ordered_labels()))
        if form == "modulo":
            index = self.index(side, modulo=True)
            return Comparison(index, self.draw(st.sampled_from(list(COMPARISONS))), self.draw(st.integers(0, (index.modulo or 2) - 1)))
        if form == "remainders":
            index = self.index(side, modulo=True)
            remainders = st.lists(st.integers(0, (index.modulo or 2) - 1), min_size=1, max_size=3, unique=True)
            return Member(index, tuple(self.draw(remainders)))
        other_side: Side = "column" if side == "row" else "row"
        if form == "same":
            return Comparison(Index(side), self.draw(equality), Index(other_side))
        remainders = self.draw(st.booleans())
        return Comparison(self.index(side, remainders), self.draw(st.sampled_from(list(COMPARISONS))), self.index(other_side, remainders))

    def index(self, side: Side, modulo: bool) -> Index:
        return Index(side, self.draw(st.integers(-3, 3)), self.draw(st.integers(2, 5)) if modulo else None)


@st.composite
def symbolic_operators(draw: Draw, header: Header, rows: Basis, columns: Basis) -> Operator:
    """Operators of any statement but a table."""
    return _Operators(draw, header, rows, columns, small_numbers, False).operator()


class _Programs:
    """Draws one program, statement by statement."""

    def __init__(self, draw: Draw, numbers: st.SearchStrategy[float]) -> None:
        self.draw = draw
        self.numbers = numbers
        self.header = draw(headers())
        self.rng = np.random.default_rng(draw(st.integers(0, 1000)))
        self.statements: list[Statement] = []
        self.operators: dict[str, np.ndarray] = {}
        self.selectors: list[str] = []
        self.projections: list[str] = []
        self.bases: Mapping[str, Basis] = self.header.built_in

    def program(self) -> Program:
        kinds = (self.select, self.aggregate, self.project, self.norm, self.mlp, self.table, self.harden, self.sharpen, self.pair)
        for number in range(self.draw(st.integers(0, 9))):
            make = self.draw(st.sampled_from((*kinds, self.select, self.aggregate, self.compare, self.compute, self.compute, self.case)))
            self.statements.append(make(f"x{number}"))
            self.bases = self.build(()).bases
        return self.build(tuple(self.draw(st.lists(st.sampled_from(self.projections), max_size=3))) if self.projections else ())

    def build(self, logits: tuple[str, ...]) -> Program:
        return Program(self.header, (*self.statements, Prediction(logits)), self.operators)

    def read(self) -> Read:
        variable = self.draw(st.sampled_from(sorted(self.bases)))
        scalars = sorted(name for name, basis in self.bases.items() if basis.size == 1 and name != "one")
        over = self.draw(st.sampled_from(scalars)) if scalars and not self.draw(st.integers(0, 3)) else None
        return Read(variable, over)

    def basis(self, read: Read) -> Basis:
        return self.bases[read.variable]

    def tensor(self, name: str, *shape: int) -> None:
        dtype = self.draw(st.sampled_from([np.float32, np.float64]))
        self.operators[name] = np.asarray(self.rng.normal(size=shape), dtype)

    def operator(self, name: str, rows: Basis, columns: Basis, narrow: bool = False) -> Operator:
        if not self.draw(st.integers(0, 2)):
            self.tensor(f"W_{name}", rows.size, columns.size)
            return Dense(f"W_{name}")
        return _Operators(self.draw, self.header, rows, columns, self.numbers, narrow).operator()

    def select(self, name: str) -> Statement:
        query, key = self.read(), self.read()
        op = self.operator(name, self.basis(query), self.basis(key))
        self.selectors.append(name)
        return Select(name, query, key, op)

    def aggregate(self, name: str) -> Statement:
        selectors = self.draw(st.lists(st.sampled_from(self.selectors), max_size=2)) if self.selectors else []
        return Aggregate(name, tuple(selectors), self.read())

    def project(self, name: str) -> Statement:
        read = self.read()
        op = self.operator(name, self.basis(read), self.header.output)
        self.projections.append(name)
        return Project(name, read, op)

    def norm(self, name: str) -> Statement:
        reads = tuple(self.read() for _ in range(self.draw(st.integers(1, 3))))
        if len(reads) == 1 and self.draw(st.booleans()):
            basis = self.basis(reads[0])
            return Norm(name, reads, _Operators(self.draw, self.header, basis, basis, self.numbers, False).operator())
        size = sum(self.basis(read).size for read in reads)
        factor = self.rng.normal(size=(size, 3))
        self.operators[f"G_{name}"] = factor @ factor.T
        self.operators[f"G_{name}.eps"] = np.float64(1e-5)
        return Norm(name, reads, Dense(f"G_{name}"))

    def mlp(self, name: str) -> Statement:
        reads = tuple(self.read() for _ in range(self.draw(st.integers(1, 3))))
        op, width, hidden = f"M_{name}", 4, 5
        for i, read in enumerate(reads):
            self.tensor(f"{op}.in.{i}", self.basis(read).size, width)
        act, norm = self.draw(st.sampled_from(list(ACTIVATIONS))), self.draw(st.sampled_from(list(NORMS)))
        for part in ("in", "gate") if self.draw(st.booleans()) else ("in",):
            self.tensor(f"{op}.w_{part}", width, hidden)
            self.tensor(f"{op}.b_{part}", hidden)
        self.tensor(f"{op}.w_out", hidden, width)
        self.tensor(f"{op}.b_out", width)
        if NORMS[norm].scaled:
            self.tensor(f"{op}.gain", width)
            self.tensor(f"{op}.shift", width)
            self.operators[f"{op}.eps"] = np.float64(1e-5)
            if self.draw(st.booleans()):
                self.operators[f"{op}.sigma"] = np.float64(1.5)
        return Mlp(name, reads, op, act, norm)

    def table(self, name: str) -> Statement:
        read = self.read()
        width = Basis("derived", self.draw(st.integers(1, 3)))
        return Table(name, read, self.operator(name, self.basis(read), width, narrow=True))

    def harden(self, name: str) -> Statement:
        return Harden(name, self.read())

    def sharpen(self, name: str) -> Statement:
        return Sharpen(name, self.read(), self.draw(st.sampled_from([1.0, 2.0, 0.5, 3.25])))

    def pair(self, name: str) -> Statement:
        first, second = self.read(), self.read()
        if self.basis(first).size * self.basis(second).size > WIDEST_PAIR:
            return Harden(name, first)
        return Pair(name, first, second)

    def compare(self, name: str) -> Statement:
        first, second = self.read(), self.read()
        return Compare(name, first, second, self.operator(name, self.basis(first), self.basis(second)))

    def compute(self, name: str) -> Statement:
        return Compute(name, tuple(self.formula(3) for _ in range(self.draw(st.integers(1, 3)))))

    def case(self, name: str) -> Statement:
        read = self.read()
        labels = self.draw(st.lists(_labels(self.header, self.basis(read)), min_size=1, max_size=3, unique=True))
        return Case(name, read, tuple((label, self.formula(2)) for label in labels))

    def formula(self, depth: int) -> Formula:
        kinds = ["number", "coordinate", "coordinate", "test"] + (["apply", "arithmetic", "arithmetic", "negate"] if depth else [])
        kind = self.draw(st.sampled_from(kinds))
        if kind == "number":
            return Number(self.draw(self.numbers))
        if kind == "negate":
            return Negate(self.formula(depth - 1))
        if kind == "arithmetic":
            return Arithmetic(self.draw(st.sampled_from("+-*/")), self.formula(depth - 1), self.formula(depth - 1))
        if kind == "apply":
            function = self.draw(st.sampled_from(sorted(FUNCTIONS)))
            count = FUNCTIONS[function].arguments or self.draw(st.integers(2, 3))
            return Apply(function, tuple(self.formula(depth - 1) for _ in range(count)))
        read = self.read()
        labels = _labels(self.header, self.basis(read))
        if kind == "coordinate":
            return Coordinate(read, self.draw(labels))
        test = self.draw(st.sampled_from(sorted(TESTS)))
        return Test(test, read, tuple(self.draw(labels) for _ in range(TESTS[test].coordinates)))


@st.composite
def programs(draw: Draw, numbers: st.SearchStrategy[float] = any_numbers) -> Program:
    """Random legal programs; `small_numbers` for those that are to be run without overflow."""
    return _Programs(draw, numbers).program()


def meant_logits(program: Program, token_ids: np.ndarray, position_ids: np.ndarray) -> np.ndarray:
    """Logits (batch, time, vocabulary) by the meaning of the language, which takes one sequence."""
    with np.errstate(all="ignore"):
        return np.stack([meaning(program, *ids)["prediction"] for ids in zip(token_ids, position_ids, strict=True)])


@st.composite
def inputs(draw: Draw, program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Token and position ids (batch, time) for a program."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.integers(0, len(program.header.vocabulary), shape), rng.integers(0, program.header.positions, shape)
