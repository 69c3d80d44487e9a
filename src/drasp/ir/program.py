"""The immutable program: header, statements and dense tensors. Building one checks every rule of the language."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np

from drasp.errors import ProgramError
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.axis import Axis
from drasp.ir.basis import ONE, Basis, derived, pair
from drasp.ir.formulas import Coordinate, Formula, Test, walk
from drasp.ir.labels import is_special, label_text
from drasp.ir.nodes import (
    BUILT_IN,
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
)
from drasp.ir.norms import NORMS
from drasp.ir.operators import Dense, table_width
from drasp.ir.primitives import WORDS

Predict = Literal["next-token", "next-token-set"]

HEADER_WORDS = ("drasp", "vocabulary", "outputs", "positions", "predict", "order", "attention", "pad")
RESERVED = frozenset(("and", "or", "not", "in", "except", *WORDS, *HEADER_WORDS))
"""Words that can name no statement and no dense operator."""

LARGEST_MATRIX = 1 << 26
"""Numbers of an operator in symbols: how many they are is said by a few characters of a text."""

MOST_POSITIONS = 1_000_000
"""What runs a program makes vectors of as many numbers."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Header:
    """What a program says before its first statement.

    Attributes:
        vocabulary: the tokens in id order.
        positions: how many positions there are.
        predict: what the output means: the next token (softmax, argmax) or the set of tokens that may come next (sigmoid, sign).
        order: the tokens that have an order, in that order; None where no token has one.
        bidirectional: whether attention sees the keys after the query too.
        pad: the token that attention never sees, as long as it sees any other; None where it sees all.
        outputs: the names of what is predicted; None where that is the vocabulary.
    """

    vocabulary: tuple[str, ...]
    positions: int
    predict: Predict
    order: tuple[str, ...] | None = None
    bidirectional: bool = False
    pad: str | None = None
    outputs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.vocabulary:
            raise ProgramError("the vocabulary is empty")
        _check_tokens(self.vocabulary, "the vocabulary")
        if self.positions < 1:
            raise ProgramError(f"there must be at least 1 position, not {self.positions}")
        if self.positions > MOST_POSITIONS:
            raise ProgramError(f"there are at most {MOST_POSITIONS} positions, not {self.positions}")
        if self.predict not in ("next-token", "next-token-set"):
            raise ProgramError(f"predicted is next-token or next-token-set, not {self.predict}")
        if self.outputs is not None:
            if not self.outputs:
                raise ProgramError("there are no outputs")
            _check_tokens(self.outputs, "the list of outputs")
        if self.order is not None:
            if not self.order:
                raise ProgramError("the order is empty")
            _check_tokens(self.order, "the order")
            for token in self.order:
                if token not in self.vocabulary:
                    raise ProgramError(f"token {label_text(token)} of the order is not in the vocabulary")
        if self.pad is not None and self.pad not in self.vocabulary:
            raise ProgramError(f"the padding token {label_text(self.pad)} is not in the vocabulary")

    def axis(self, basis: Basis, empty: bool = False) -> Axis:
        """A basis as one side of an operator; `empty` where the operator is only to be checked."""
        return Axis(basis, {"token": self.vocabulary, "output": self.predicted}, self.order, empty)

    @property
    def predicted(self) -> tuple[str, ...]:
        """The names of what is predicted, in the order of the logits."""
        return self.vocabulary if self.outputs is None else self.outputs

    @property
    def output(self) -> Basis:
        """The basis of projections and of the prediction."""
        return Basis("token" if self.outputs is None else "output", len(self.predicted))

    @property
    def symbols(self) -> np.ndarray:
        """The ids of the tokens that are neither special nor padding."""
        return np.array([i for i, token in enumerate(self.vocabulary) if not is_special(token) and token != self.pad], dtype=int)

    @cached_property
    def built_in(self) -> dict[str, Basis]:
        return {"token": Basis("token", len(self.vocabulary)), "pos": Basis("position", self.positions), "one": ONE}


def _check_tokens(tokens: tuple[str, ...], what: str) -> None:
    seen = set()
    for token in tokens:
        if token in seen:
            raise ProgramError(f"{what} has {label_text(token)} twice")
        if any("\ud800" <= character <= "\udfff" for character in token):
            raise ProgramError(f"{what} has {token!r}, which is no valid text")
        seen.add(token)


def _frozen(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    frozen = {}
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        frozen[name] = array
    return MappingProxyType(frozen)


@dataclass(frozen=True, eq=False)
class Program:
    """A legal D-RASP program.

    Attributes:
        header: vocabulary, positions, what is predicted.
        statements: in order; each assigned once and used only after it; the last is the prediction.
        operators: the dense tensors by name, read-only float arrays; exactly those that the statements use.
    """

    header: Header
    statements: tuple[Statement, ...]
    operators: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", _frozen(self.operators))
        self.bases  # noqa: B018  building the bases is the check

    @cached_property
    def bases(self) -> Mapping[str, Basis]:
        """The basis of every variable, built-in ones included. Selectors and the prediction are not variables."""
        return check(self)

    @cached_property
    def digest(self) -> str:
        """Tells the program from every other, tensors included."""
        found = hashlib.blake2b(repr((self.header, self.statements)).encode(), digest_size=12)
        for name, array in self.operators.items():
            found.update(f"{name}{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    @cached_property
    def by_name(self) -> Mapping[str, Statement]:
        return {s.name: s for s in self.statements}

    def matrix(self, name: str) -> np.ndarray:
        """The operator of a select, project, table, compare or norm as a read-only matrix, whether dense or symbolic."""
        if name not in self._matrices:
            statement = self.by_name[name]
            assert isinstance(statement, Bilinear)
            if isinstance(statement.op, Dense):
                return self.operators[statement.op.name]
            rows, columns = sides(statement, self.bases, self.header)
            if rows.size * columns.size > LARGEST_MATRIX:
                raise ProgramError(
                    f"its operator would be a matrix of {rows.size} x {columns.size} numbers, {8e-9 * rows.size * columns.size:.1f} GB: "
                    f"{8e-9 * LARGEST_MATRIX:.1f} GB at the most",
                    name,
                )
            matrix = statement.op.matrix(self.header.axis(rows), self.header.axis(columns))
            matrix.flags.writeable = False
            self._matrices[name] = matrix
        return self._matrices[name]

    @cached_property
    def _matrices(self) -> dict[str, np.ndarray]:
        return {}

    def norm_eps(self, statement: Norm) -> float:
        """What a norm adds under the root: the scalar `G.eps` of a dense one, 0 for a symbolic one."""
        return float(self.operators[f"{statement.op.name}.eps"]) if isinstance(statement.op, Dense) else 0.0

    @property
    def prediction(self) -> Prediction:
        return self.statements[-1]  # type: ignore[return-value]

    def with_statements(self, statements: Iterable[Statement], operators: Mapping[str, np.ndarray] | None = None) -> "Program":
        """This program with other statements; tensors that nothing uses any more are left out."""
        kept = tuple(statements)
        tensors = dict(self.operators if operators is None else operators)
        used = {name for s in kept for name in tensor_names(s)}
        return replace(self, statements=kept, operators={n: a for n, a in tensors.items() if n in used})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return (
            self.header == other.header
            and self.statements == other.statements
            and self.operators.keys() == other.operators.keys()
            and all(np.array_equal(a, other.operators[n]) for n, a in self.operators.items())
        )

    __hash__ = None  # type: ignore[assignment]


def feeds_attention(program: "Program") -> frozenset[str]:
    """The variables that selectors or averages read, directly or through other variables."""
    feeding: set[str] = set()
    for statement in reversed(program.statements):
        if isinstance(statement, Select | Aggregate) or statement.name in feeding:
            feeding.update(variable for read in statement.reads for variable in read.variables())
    return frozenset(feeding)


def alive(statements: Sequence[Statement]) -> list[Statement]:
    """The statements that the prediction depends on."""
    needed: set[str] = set()
    kept: list[Statement] = []
    for statement in reversed(statements):
        if not isinstance(statement, Prediction) and statement.name not in needed:
            continue
        kept.append(statement)
        needed.update(variable for read in statement.reads for variable in read.variables())
        if isinstance(statement, Aggregate):
            needed.update(statement.selectors)
        elif isinstance(statement, Prediction):
            needed.update(statement.logits)
    return kept[::-1]


MLP_PARTS = ("w_in", "b_in", "w_out", "b_out", "w_gate", "b_gate")
NORM_PARTS = ("gain", "shift", "eps", "sigma")


def tensor_names(statement: Statement) -> tuple[str, ...]:
    """The dense tensors a statement may have: all of them must be there, but an mlp's gate and `M.sigma`."""
    if isinstance(statement, Mlp):
        inputs = tuple(f"{statement.op}.in.{i}" for i in range(len(statement.inputs)))
        scaled = statement.norm in NORMS and NORMS[statement.norm].scaled
        return inputs + tuple(f"{statement.op}.{part}" for part in ((*NORM_PARTS, *MLP_PARTS) if scaled else MLP_PARTS))
    op = getattr(statement, "op", None)
    if not isinstance(op, Dense):
        return ()
    return (op.name, f"{op.name}.eps") if isinstance(statement, Norm) else (op.name,)


def check(program: Program) -> Mapping[str, Basis]:
    """Checks every rule and returns the basis of each variable.

    Raises:
        ProgramError: the first rule that is broken, with the statement that breaks it.
    """
    if not program.statements or not isinstance(program.statements[-1], Prediction):
        raise ProgramError("the last statement must be the prediction")
    for statement in program.statements[:-1]:
        if isinstance(statement, Prediction):
            raise ProgramError("the prediction must be the last statement", statement.name)
    checker = _Checker(program)
    for statement in program.statements:
        try:
            checker.add(statement)
        except ProgramError as error:
            raise ProgramError(error.reason, statement.name) from None
    unused = program.operators.keys() - {name for s in program.statements for name in tensor_names(s)}
    if unused:
        raise ProgramError(f"operator {min(unused)} is used by no statement")
    return MappingProxyType(checker.bases)


class _Checker:
    """Checks statement after statement. Its errors name no statement."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.header = program.header
        self.bases: dict[str, Basis] = dict(program.header.built_in)
        self.selectors: set[str] = set()
        self.projections: set[str] = set()

    def add(self, statement: Statement) -> None:
        name = statement.name
        self._check_name(statement)
        for read in statement.reads:
            self._check_read(read)
        if isinstance(statement, Bilinear):
            self._check_operator(statement)
        if isinstance(statement, Select):
            self.selectors.add(name)
        elif isinstance(statement, Project):
            self.projections.add(name)
        elif isinstance(statement, Prediction):
            for logits in statement.logits:
                if logits not in self.projections:
                    raise ProgramError(f"{logits} is no projection defined before it")
        else:
            self.bases[name] = self._basis(statement)

    def _basis(self, statement: Statement) -> Basis:
        """The basis of the variable that a statement assigns."""
        if isinstance(statement, Aggregate):
            for selector in statement.selectors:
                if selector not in self.selectors:
                    raise ProgramError(f"{selector} is no selector defined before it")
        elif isinstance(statement, Mlp):
            self._check_mlp(statement)
        elif isinstance(statement, Sharpen) and statement.power <= 0:
            raise ProgramError(f"the exponent must be positive, not {statement.power}")
        elif isinstance(statement, Compute):
            if not statement.formulas:
                raise ProgramError("there is no formula")
            for formula in statement.formulas:
                self._check_formula(formula)
        elif isinstance(statement, Case):
            self._check_case(statement)
        return basis_of(statement, self.bases.__getitem__, self.program.operators)

    def _check_case(self, statement: Case) -> None:
        axis = self.header.axis(self.bases[statement.input.variable])
        seen = set()
        for label, formula in statement.branches:
            if axis.index(label) in seen:
                raise ProgramError(f"case has {label_text(label)} twice")
            seen.add(axis.index(label))
            self._check_formula(formula)
        if not seen:
            raise ProgramError("case has no branch")

    def _check_name(self, statement: Statement) -> None:
        name = statement.name
        if isinstance(statement, Prediction) != (name == "prediction"):
            raise ProgramError("prediction is the name of the last statement, and of no other")
        if name in BUILT_IN:
            raise ProgramError(f"{name} is a built-in variable")
        if name in self.bases or name in self.selectors or name in self.projections:
            raise ProgramError("assigned twice")
        _check_word(name)

    def _check_read(self, read: Read) -> None:
        for variable in read.variables():
            if variable in self.projections:
                raise ProgramError(f"{variable} is a projection, which only the prediction reads")
            if variable in self.selectors:
                raise ProgramError(f"{variable} is a selector, which only aggregate(s=...) reads")
            if variable not in self.bases:
                raise ProgramError(f"{variable} is no variable defined before it")
        if read.over is not None and self.bases[read.over].size != 1:
            raise ProgramError(f"{read.variable} is divided by {read.over}, which has {self.bases[read.over].size} coordinates, not 1")

    def _check_operator(self, statement: Bilinear) -> None:
        op = statement.op
        if isinstance(statement, Norm) and not statement.inputs:
            raise ProgramError("a norm needs an input")
        rows, columns = sides(statement, self.bases, self.header)
        if isinstance(op, Dense):
            _check_word(op.name)
            self._tensor(op.name, (rows.size, None if isinstance(statement, Table) else columns.size))
            if isinstance(statement, Norm) and self._tensor(f"{op.name}.eps", ()) < 0:
                raise ProgramError(f"operator {op.name}.eps is negative")
            return
        if isinstance(statement, Norm) and len(statement.inputs) != 1:
            raise ProgramError("the norm of several inputs needs a dense operator")
        op.text(statement.sides)
        op.matrix(self.header.axis(rows, empty=True), self.header.axis(columns, empty=True))

    def _check_formula(self, formula: Formula) -> None:
        for part in walk(formula):
            if isinstance(part, Coordinate | Test):
                axis = self.header.axis(self.bases[part.read.variable])
                for label in (part.label,) if isinstance(part, Coordinate) else part.labels:
                    axis.index(label)

    def _check_mlp(self, statement: Mlp) -> None:
        op, tensors = statement.op, self.program.operators
        _check_word(op)
        if statement.act not in ACTIVATIONS:
            raise ProgramError(f"{statement.act} is no activation; there are {', '.join(ACTIVATIONS)}")
        if statement.norm not in NORMS:
            raise ProgramError(f"{statement.norm} is no norm; there are {', '.join(NORMS)}")
        if not statement.inputs:
            raise ProgramError("an mlp needs an input")
        width, hidden = self._tensor(f"{op}.w_in", (None, None)).shape
        for i, read in enumerate(statement.inputs):
            self._tensor(f"{op}.in.{i}", (self.bases[read.variable].size, width))
        out = self._tensor(f"{op}.w_out", (hidden, None)).shape[1]
        self._tensor(f"{op}.b_in", (hidden,))
        self._tensor(f"{op}.b_out", (out,))
        if {f"{op}.w_gate", f"{op}.b_gate"} & tensors.keys():
            self._tensor(f"{op}.w_gate", (width, hidden))
            self._tensor(f"{op}.b_gate", (hidden,))
        if NORMS[statement.norm].scaled:
            self._check_norm(op, width)

    def _check_norm(self, op: str, width: int) -> None:
        """The norm of an mlp."""
        self._tensor(f"{op}.gain", (width,))
        self._tensor(f"{op}.shift", (width,))
        if self._tensor(f"{op}.eps", ()) < 0:
            raise ProgramError(f"operator {op}.eps is negative")
        if f"{op}.sigma" in self.program.operators and self._tensor(f"{op}.sigma", ()) <= 0:
            raise ProgramError(f"operator {op}.sigma is not positive")

    def _tensor(self, tensor: str, shape: tuple[int | None, ...]) -> np.ndarray:
        if tensor not in self.program.operators:
            raise ProgramError(f"operator {tensor} is missing")
        array = self.program.operators[tensor]
        if len(array.shape) != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
            expected = " x ".join("any" if n is None else str(n) for n in shape) or "scalar"
            raise ProgramError(f"operator {tensor} has shape {array.shape}, expected {expected}")
        if array.dtype not in (np.float32, np.float64) or not np.isfinite(array).all():
            raise ProgramError(f"operator {tensor} must hold finite numbers of type float32 or float64")
        return array


def _check_word(name: str) -> None:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ProgramError(f"{name} can be no name")


def basis_of(statement: Statement, basis: Callable[[str], Basis], operators: Mapping[str, np.ndarray]) -> Basis:
    """The basis of the variable that a statement assigns.

    Args:
        basis: gives that of each variable the statement reads.
        operators: the dense tensors by name.
    """
    if isinstance(statement, Aggregate | Harden | Sharpen):
        return basis(statement.reads[0].variable)
    if isinstance(statement, Pair):
        return pair(basis(statement.first.variable), basis(statement.second.variable))
    if isinstance(statement, Mlp):
        return Basis("residual", operators[f"{statement.op}.w_out"].shape[1])
    if isinstance(statement, Compute):
        return derived(len(statement.formulas))
    if isinstance(statement, Table):
        if isinstance(statement.op, Dense):
            return derived(operators[statement.op.name].shape[1])
        return derived(table_width(statement.op, basis(statement.input.variable)))
    assert isinstance(statement, Norm | Compare | Case)
    return derived(1)


def sides(statement: Bilinear, bases: Mapping[str, Basis], header: Header) -> tuple[Basis, Basis]:
    """The two bases of a statement's operator. The columns of a dense table follow from its tensor."""
    if isinstance(statement, Select):
        return bases[statement.query.variable], bases[statement.key.variable]
    if isinstance(statement, Compare):
        return bases[statement.first.variable], bases[statement.second.variable]
    if isinstance(statement, Project):
        return bases[statement.input.variable], header.output
    if isinstance(statement, Table):
        rows = bases[statement.input.variable]
        return rows, derived(1 if isinstance(statement.op, Dense) else table_width(statement.op, rows))
    inputs = [bases[read.variable] for read in statement.inputs]
    side = inputs[0] if len(inputs) == 1 else derived(sum(basis.size for basis in inputs))
    return side, side
