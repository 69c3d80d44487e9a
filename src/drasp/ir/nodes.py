"""The vocabulary of the language: what a statement can be. All of it is frozen data; the meaning is in `drasp.run.meaning`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import count
from typing import Any, ClassVar, TypeVar, get_args

from drasp.ir.formulas import Formula as Formula
from drasp.ir.formulas import Read as Read
from drasp.ir.formulas import reads_of
from drasp.ir.formulas import with_reads as formula_with_reads
from drasp.ir.labels import Label, finite
from drasp.ir.operators import Dense, Operator
from drasp.ir.primitives.primitive import Names

BUILT_IN = ("token", "pos", "one")

TOKEN, POS, ONE_READ = Read("token"), Read("pos"), Read("one")


@dataclass(frozen=True)
class Select:
    """`name = select(q=query, k=key, op=op)`: scores `query_i op key_j`, op of shape (query basis, key basis)."""

    sides: ClassVar[Names] = Names("q", "k", selector=True)
    name: str
    query: Read
    key: Read
    op: Operator

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.query, self.key)


@dataclass(frozen=True)
class Aggregate:
    """`name = aggregate(s=s1+s2, v=value)`: the average of `value` under the softmax of the summed scores; no selector: uniform."""

    name: str
    selectors: tuple[str, ...]
    value: Read

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.value,)


@dataclass(frozen=True)
class Project:
    """`name = project(inp=input, op=op)`: logits, op of shape (input basis, vocabulary)."""

    sides: ClassVar[Names] = Names("inp", "out")
    name: str
    input: Read
    op: Operator

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.input,)


@dataclass(frozen=True)
class Norm:
    """`name = norm(x, y, op=op)`: the positive scalar sqrt(z G z + eps), z the inputs side by side.

    A dense `op` named G is the tensors `G` (sum of sizes, squared; symmetric) and `G.eps` (a scalar).
    A symbolic one has a single input x, is an operator over `x` and `y`, both in its basis, and has eps 0.
    """

    sides: ClassVar[Names] = Names("x", "y")
    name: str
    inputs: tuple[Read, ...]
    op: Operator

    @property
    def reads(self) -> tuple[Read, ...]:
        return self.inputs


@dataclass(frozen=True)
class Mlp:
    """`name = mlp(x, y, op=M, act=relu, norm=none)`: the model's own MLP with the norm before it.

    Tensors: `M.in.0`, ... (basis of each input x D), `M.w_in` (D x hidden), `M.b_in` (hidden), `M.w_out` (hidden x out), `M.b_out` (out);
    of a norm that scales `M.gain` (D), `M.shift` (D), `M.eps` (scalar), and `M.sigma` (scalar) where it was made constant; of a gated
    MLP `M.w_gate` (D x hidden) and `M.b_gate` (hidden): the activation is that of the gate, by which the hidden units are multiplied.

    Attributes:
        act: one of `drasp.ir.activations.ACTIVATIONS`.
        norm: one of `drasp.ir.norms.NORMS`.
    """

    name: str
    inputs: tuple[Read, ...]
    op: str
    act: str = "gelu"
    norm: str = "layer"

    @property
    def reads(self) -> tuple[Read, ...]:
        return self.inputs


@dataclass(frozen=True)
class Table:
    """`name = table(x, op=T)`: row lookup on a one-hot input; the op's columns are the derived coordinates of the result.

    A symbolic op speaks of the input only; the entries of its tables name the coordinates of the result.
    """

    sides: ClassVar[Names] = Names("inp", None)
    name: str
    input: Read
    op: Operator

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.input,)


@dataclass(frozen=True)
class Harden:
    """`name = harden(x)`: one-hot of the largest coordinate, the first of equals."""

    name: str
    input: Read

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.input,)


@dataclass(frozen=True)
class Sharpen:
    """`name = sharpen(x, n)`: n-th power of each coordinate, renormalised to sum 1; a negative coordinate counts as 0."""

    name: str
    input: Read
    power: float

    def __post_init__(self) -> None:
        finite(self.power)

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.input,)


@dataclass(frozen=True)
class Pair:
    """`name = pair(x, y)`: the outer product, in the pair basis."""

    name: str
    first: Read
    second: Read

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.first, self.second)


@dataclass(frozen=True)
class Compare:
    """`name = compare(x, y, op=A)`: the scalar x A y, one derived coordinate."""

    sides: ClassVar[Names] = Names("x", "y")
    name: str
    first: Read
    second: Read
    op: Operator

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.first, self.second)


@dataclass(frozen=True)
class Compute:
    """`name = <formula>` or `name = [f, g, h]`: formulas over coordinates; each is one derived coordinate of the result.

    The named tests `exists(x, c)`, `only(x)`, `balance(x, c, d)` are functions inside a formula.
    """

    name: str
    formulas: tuple[Formula, ...]

    @property
    def reads(self) -> tuple[Read, ...]:
        return reads_of(*self.formulas)


@dataclass(frozen=True)
class Case:
    """`name = case(x, {"a": f, "b": g})`: for a one-hot x, the formula of its hot coordinate; 0 where none is given.

    Attributes:
        branches: pairs of a coordinate of x's basis, as it is written, and its formula.
    """

    name: str
    input: Read
    branches: tuple[tuple[Label, Formula], ...]

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(dict.fromkeys((self.input, *reads_of(*(formula for _, formula in self.branches)))))


@dataclass(frozen=True)
class Prediction:
    """`prediction = softmax(l1 + l2)` or `sigmoid(...)`: the last statement; which of the two follows from what is predicted."""

    logits: tuple[str, ...]
    name: str = "prediction"

    @property
    def reads(self) -> tuple[Read, ...]:
        return ()


Bilinear = Select | Project | Norm | Table | Compare
"""The statements with an operator between two bases."""

Elementwise = Norm | Mlp | Table | Harden | Sharpen | Pair | Compare | Compute | Case
Statement = Select | Aggregate | Project | Elementwise | Prediction

Kind = TypeVar("Kind", bound=Statement)


def with_reads(statement: Kind, change: Callable[[Read], Read]) -> Kind:
    """The statement with every variable it takes replaced, in the order of its fields; in formulas wherever it stands."""

    def changed(value: Any) -> Any:
        if isinstance(value, Read):
            return change(value)
        if isinstance(value, get_args(Formula)):
            return formula_with_reads(value, change)
        return tuple(map(changed, value)) if isinstance(value, tuple) else value

    return replace(statement, **{field.name: changed(getattr(statement, field.name)) for field in fields(statement)})


def with_read(statement: Kind, slot: int, read: Read) -> Kind:
    """The statement with what it takes in one slot of its `reads` replaced."""
    old, slots = statement.reads[slot], count()
    if isinstance(statement, Compute | Case):  # these have one slot for all that is the same
        return with_reads(statement, lambda its: read if its == old else its)
    return with_reads(statement, lambda its: read if next(slots) == slot else its)


def addends(statement: Statement) -> tuple[str, ...]:
    """The selectors or projections that a statement adds up."""
    if isinstance(statement, Aggregate):
        return statement.selectors
    return statement.logits if isinstance(statement, Prediction) else ()


def with_addends(statement: Kind, names: tuple[str, ...]) -> Kind:
    """The statement adding up others than its `addends`; one that adds up nothing is as it was."""
    if isinstance(statement, Aggregate):
        return replace(statement, selectors=names)
    return replace(statement, logits=names) if isinstance(statement, Prediction) else statement


def renamed(statement: Kind, names: Mapping[str, str]) -> Kind:
    """The statement with other names for itself, for what it reads and for what it adds up; what `names` lacks keeps its own."""

    def new(name: str) -> str:
        return names.get(name, name)

    found = with_reads(statement, lambda read: Read(new(read.variable), None if read.over is None else new(read.over)))
    return replace(with_addends(found, tuple(map(new, addends(found)))), name=new(statement.name))


def with_tensors(statement: Kind, name: str) -> Kind:
    """The statement with another name for its dense operator, or for the tensors of its mlp; one without is as it was."""
    if isinstance(statement, Mlp):
        return replace(statement, op=name)
    return replace(statement, op=Dense(name)) if isinstance(statement, Bilinear) and isinstance(statement.op, Dense) else statement
