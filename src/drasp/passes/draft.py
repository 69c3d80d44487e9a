"""A program under construction: what a rewrite changes before it builds the next immutable program."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from drasp.ir.nodes import Aggregate, Bilinear, Compare, Mlp, Norm, Prediction, Project, Read, Select, Statement, Table
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program, tensor_names
from drasp.run.gram import gram_factor

Kind = TypeVar("Kind", bound=Statement)


class Draft:
    """Statements by name, in order, and the dense tensors. `build` checks and freezes them.

    Tensors are never changed in place: a changed one is a new array under the same name. In a draft every operator is dense, and belongs
    to one statement alone.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.statements: dict[str, Statement] = {}
        self.operators: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, program: Program) -> "Draft":
        draft = cls(program.header)
        draft.statements = {s.name: s for s in program.statements}
        draft.operators = dict(program.operators)
        for statement in program.statements:
            if isinstance(statement, Bilinear) and not isinstance(statement.op, Dense):
                op = draft.fresh("D")
                draft.operators[op] = program.matrix(statement.name)
                draft.put(replace(statement, op=Dense(op)))
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
            if isinstance(other, Aggregate) and name in other.selectors:
                self.put(replace(other, selectors=tuple(s for s in other.selectors if s != name)))
            elif isinstance(other, Prediction) and name in other.logits:
                self.put(replace(other, logits=tuple(s for s in other.logits if s != name)))

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

    def matrix(self, statement: Bilinear) -> np.ndarray:
        """The dense operator of a statement."""
        return self.operators[dense_name(statement)]

    def set_matrix(self, statement: Bilinear, matrix: np.ndarray) -> None:
        """Changes the dense operator of a statement."""
        self.operators[dense_name(statement)] = matrix

    def set_read(self, statement: Statement, slot: int, read: Read) -> None:
        """Changes what a statement takes in one slot."""
        if isinstance(statement, Select):
            self.put(replace(statement, query=read) if slot == 0 else replace(statement, key=read))
        elif isinstance(statement, Aggregate):
            self.put(replace(statement, value=read))
        elif isinstance(statement, Project | Table):
            self.put(replace(statement, input=read))
        elif isinstance(statement, Norm | Mlp):
            inputs = tuple(read if i == slot else r for i, r in enumerate(statement.inputs))
            self.put(replace(statement, inputs=inputs))
        else:
            raise TypeError(f"{type(statement).__name__} is not rewritten")

    def transform(self, statement: Statement, slot: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Applies `change` to the operator of a statement along the axis of one input: it maps (old size, n) to (new size, n)."""
        if isinstance(statement, Select | Compare) and slot == 1:
            self.set_matrix(statement, change(self.matrix(statement).T).T)
        elif isinstance(statement, Select | Project | Table | Compare):
            self.set_matrix(statement, change(self.matrix(statement)))
        else:
            raise TypeError(f"{type(statement).__name__} has no operator with that axis")

    def size(self, variable: str) -> int:
        """The number of coordinates of a variable."""
        if variable in self.header.built_in:
            return self.header.built_in[variable].size
        statement = self.statements[variable]
        if isinstance(statement, Aggregate):
            return self.size(statement.value.variable)
        if isinstance(statement, Mlp):
            return self.operators[f"{statement.op}.b_out"].shape[0]
        if isinstance(statement, Norm):
            return 1
        if isinstance(statement, Table):
            return self.matrix(statement).shape[1]
        raise TypeError(f"{type(statement).__name__} is not rewritten")

    def input_blocks(self, statement: Statement) -> list[np.ndarray]:
        """The matrices by which an mlp or norm reads its inputs, each (size of input, n), summed over the inputs.

        For a norm they are a factor of its Gram matrix, G = F F^T, cut into one block an input.
        """
        assert isinstance(statement, Norm | Mlp)
        if isinstance(statement, Mlp):
            return [self.operators[f"{statement.op}.in.{i}"] for i in range(len(statement.inputs))]
        sizes = [self.size(read.variable) for read in statement.inputs]
        return np.split(gram_factor(self.matrix(statement)), np.cumsum(sizes)[:-1])

    def set_inputs(self, statement: Statement, inputs: tuple[Read, ...], blocks: list[np.ndarray]) -> None:
        """Gives an mlp or norm new inputs, and the matrices by which it reads them."""
        assert isinstance(statement, Norm | Mlp)
        if isinstance(statement, Mlp):
            for tensor in [name for name in self.operators if name.startswith(f"{statement.op}.in.")]:
                del self.operators[tensor]
            self.operators.update({f"{statement.op}.in.{i}": block for i, block in enumerate(blocks)})
        else:
            factor = np.concatenate(blocks)
            self.set_matrix(statement, factor @ factor.T)
        self.put(replace(statement, inputs=inputs))


def dense_name(statement: Bilinear) -> str:
    """The tensor that is a statement's operator; in a draft each has one."""
    assert isinstance(statement.op, Dense)
    return statement.op.name
