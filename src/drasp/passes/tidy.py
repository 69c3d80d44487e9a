"""The last pass: names in the order of the statements, and tensors in single precision."""

from dataclasses import replace

import numpy as np

from drasp.ir.formulas import with_reads
from drasp.ir.nodes import Aggregate, Case, Compare, Compute, Mlp, Norm, Prediction, Project, Read, Select, Statement, Table
from drasp.ir.operators import Dense
from drasp.ir.program import Program, tensor_names

STEMS: dict[type, tuple[str, str]] = {
    Select: ("s", "A"),
    Aggregate: ("a", ""),
    Project: ("logits", "B"),
    Norm: ("n", "G"),
    Mlp: ("m", "M"),
    Table: ("t", "T"),
    Compare: ("m", ""),
    Compute: ("m", ""),
    Case: ("m", ""),
}


def tidy(program: Program) -> Program:
    """Renames `s0_1_3` to `s1` and its operator to `A1`; rounds every tensor to float32, which is what is saved and judged."""
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    statements: list[Statement] = []
    tensors: dict[str, np.ndarray] = {}
    for statement in program.statements:
        if isinstance(statement, Prediction):
            statements.append(replace(statement, logits=tuple(names[x] for x in statement.logits)))
            continue
        stem, operator = STEMS[type(statement)]
        counts[stem] = counts.get(stem, 0) + 1
        names[statement.name] = f"{stem}{counts[stem]}"
        new_op = f"{operator}{counts[stem]}"
        old_op = statement.op if isinstance(statement, Mlp) else getattr(getattr(statement, "op", None), "name", "")
        for tensor in tensor_names(statement):
            if tensor in program.operators:
                tensors[new_op + tensor[len(old_op) :]] = program.operators[tensor].astype(np.float32)
        statements.append(_renamed(statement, names, new_op))
    return Program(program.header, tuple(statements), tensors)


def _renamed(statement: Statement, names: dict[str, str], new_op: str) -> Statement:
    def read(old: Read) -> Read:
        return Read(names.get(old.variable, old.variable), None if old.over is None else names[old.over])

    name = names[statement.name]
    if isinstance(statement, Aggregate):
        return Aggregate(name, tuple(names[s] for s in statement.selectors), read(statement.value))
    if isinstance(statement, Mlp):
        return Mlp(name, tuple(read(r) for r in statement.inputs), new_op)
    if isinstance(statement, Compute):
        return Compute(name, tuple(with_reads(formula, read) for formula in statement.formulas))
    if isinstance(statement, Case):
        return Case(name, read(statement.input), tuple((label, with_reads(formula, read)) for label, formula in statement.branches))
    assert isinstance(statement, Select | Project | Table | Norm | Compare)
    op = Dense(new_op) if isinstance(statement.op, Dense) else statement.op
    if isinstance(statement, Select):
        return Select(name, read(statement.query), read(statement.key), op)
    if isinstance(statement, Norm):
        return Norm(name, tuple(read(r) for r in statement.inputs), op)
    if isinstance(statement, Compare):
        return Compare(name, read(statement.first), read(statement.second), op)
    return replace(statement, name=name, input=read(statement.input), op=op)
