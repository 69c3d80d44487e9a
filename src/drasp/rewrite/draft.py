"""A program under construction: what a rewrite changes before it builds the next immutable program."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from drasp.ir.basis import Basis
from drasp.ir.nodes import (
    Bilinear,
    Compare,
    Mlp,
    Norm,
    Read,
    Select,
    Statement,
    addends,
    with_addends,
    with_read,
    with_tensors,
)
from drasp.ir.operators import Dense, Except, Sum, Symbolic, Term
from drasp.ir.program import Header, Program, basis_of, sides, tensor_names
from drasp.run.gram import gram_factor

Kind = TypeVar("Kind", bound=Statement)


class Draft:
    """Statements by name, in order, and the dense tensors. `build` checks and freezes them.

    Tensors are never changed in place: a changed one is a new array under the same name, and belongs to one statement alone. A symbolic
    operator stays one until it is itself changed; only then it becomes dense.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.statements: dict[str, Statement] = {}
        self.operators: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, program: Program) -> "Draft":
        draft = cls(program.header)
        draft.operators = dict(program.operators)
        owned: set[str] = set()
        for statement in program.statements:
            tensors = tensor_names(statement)
            if not owned.isdisjoint(tensors):  # tensors that two statements share
                new = draft.fresh("D")
                copied = with_tensors(statement, new)
                shared = zip(tensor_names(copied), tensors, strict=True)
                draft.operators |= {copy: program.operators[tensor] for copy, tensor in shared if tensor in program.operators}
                statement = copied
            draft.statements[statement.name] = statement
            owned.update(tensors)
        return draft

    def build(self) -> Program:
        used = {name for s in self.statements.values() for name in tensor_names(s)}
        return Program(self.header, tuple(self.statements.values()), {n: a for n, a in self.operators.items() if n in used})

    def add(self, statement: Statement, tensors: Mapping[str, ArrayLike] | None = None, before: str | None = None) -> None:
        """Adds a statement at the end, or before another."""
        self.operators.update({name: np.asarray(array, dtype=np.float64) for name, array in (tensors or {}).items()})
        if before is None:
            self.statements[statement.name] = statement
            return
        self.statements = {
            key: value
            for name, old in self.statements.items()
            for key, value in ([(statement.name, statement)] if name == before else []) + [(name, old)]
        }

    def put(self, statement: Statement) -> None:
        """Replaces the statement of the same name."""
        self.statements[statement.name] = statement

    def remove(self, name: str) -> None:
        """Removes a statement, its name where selectors or logits are summed, and its tensors."""
        for tensor in tensor_names(self.statements.pop(name)):
            self.operators.pop(tensor, None)
        for other in list(self.statements.values()):
            if name in addends(other):
                self.put(with_addends(other, tuple(s for s in addends(other) if s != name)))

    def fresh(self, stem: str) -> str:
        """A name that no statement and no tensor has, made from `stem`."""
        number = 0
        while f"{stem}{number}" in self.statements or f"{stem}{number}" in self.operators:
            number += 1
        return f"{stem}{number}"

    def of_type(self, kind: type[Kind]) -> list[Kind]:
        return [s for s in self.statements.values() if isinstance(s, kind)]

    def readers(self, variable: str) -> list[tuple[Statement, int]]:
        """Every statement that takes the variable as an input, with the slot; not those that divide by it."""
        return [(s, i) for s in self.statements.values() for i, read in enumerate(s.reads) if read.variable == variable]

    def set_read(self, name: str, slot: int, read: Read) -> None:
        """Changes what a statement takes in one slot."""
        self.put(with_read(self.statements[name], slot, read))

    def basis(self, variable: str) -> Basis:
        """The basis of a variable."""
        if variable in self.header.built_in:
            return self.header.built_in[variable]
        return basis_of(self.statements[variable], self.basis, self.operators)

    def matrix(self, name: str) -> np.ndarray:
        """The operator of a statement, dense or symbolic, as a matrix."""
        statement = self.statements[name]
        assert isinstance(statement, Bilinear)
        if isinstance(statement.op, Dense):
            return self.operators[statement.op.name]
        rows, columns = sides(statement, {read.variable: self.basis(read.variable) for read in statement.reads}, self.header)
        return statement.op.matrix(self.header.axis(rows), self.header.axis(columns))

    def set_matrix(self, name: str, matrix: np.ndarray) -> None:
        """Changes the operator of a statement, which is dense from then on."""
        statement = self.statements[name]
        assert isinstance(statement, Bilinear)
        if isinstance(statement.op, Dense):
            self.operators[statement.op.name] = matrix
            return
        op = self.fresh("D")
        self.operators[op] = matrix
        if isinstance(statement, Norm):
            self.operators[f"{op}.eps"] = np.zeros(())
        self.put(replace(statement, op=Dense(op)))

    def scale(self, name: str, factor: float) -> None:
        """Multiplies the operator of a statement; a symbolic one stays symbolic."""
        statement = self.statements[name]
        assert isinstance(statement, Bilinear)
        if isinstance(statement.op, Dense):
            self.set_matrix(name, factor * self.matrix(name))
        else:
            self.put(replace(statement, op=scaled(statement.op, factor)))

    def transform(self, name: str, slot: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Applies `change` to the operator of a statement along the axis of one input: it maps (old size, n) to (new size, n)."""
        if isinstance(self.statements[name], Select | Compare) and slot == 1:
            self.set_matrix(name, change(self.matrix(name).T).T)
        else:
            self.set_matrix(name, change(self.matrix(name)))

    def input_blocks(self, statement: Norm | Mlp) -> list[np.ndarray]:
        """The matrices by which an mlp or dense norm reads its inputs, each (size of input, n), summed over the inputs.

        For a norm they are a factor of its Gram matrix, G = F F^T, cut into one block an input.
        """
        if isinstance(statement, Mlp):
            return [self.operators[f"{statement.op}.in.{i}"] for i in range(len(statement.inputs))]
        sizes = [self.basis(read.variable).size for read in statement.inputs]
        return np.split(gram_factor(self.matrix(statement.name)), np.cumsum(sizes)[:-1])

    def set_inputs(self, statement: Norm | Mlp, inputs: tuple[Read, ...], blocks: list[np.ndarray]) -> None:
        """Gives an mlp or dense norm new inputs, and the matrices by which it reads them."""
        if isinstance(statement, Mlp):
            for tensor in [name for name in self.operators if name.startswith(f"{statement.op}.in.")]:
                del self.operators[tensor]
            self.operators.update({f"{statement.op}.in.{i}": block for i, block in enumerate(blocks)})
        else:
            factor = np.concatenate(blocks)
            self.set_matrix(statement.name, factor @ factor.T)
        self.put(replace(statement, inputs=inputs))


def scaled(op: Symbolic, factor: float) -> Symbolic:
    """A symbolic operator times a number."""

    def times(one: Sum) -> Sum:
        return Sum(tuple(Term(factor * term.strength, term.primitive) for term in one.terms), factor * one.constant)

    return times(op) if isinstance(op, Sum) else Except(times(op.base), tuple((row, times(other)) for row, other in op.overrides))


def is_dense(statement: Statement) -> bool:
    """Whether what a statement computes is in tensors of its own."""
    return isinstance(statement, Mlp) or isinstance(getattr(statement, "op", None), Dense)


def has_axis(statement: Statement) -> bool:
    """Whether a linear change of what a statement reads can go into its operator. A symbolic norm may have no factor to take it."""
    return isinstance(statement, Bilinear | Mlp) and (is_dense(statement) or not isinstance(statement, Norm))
