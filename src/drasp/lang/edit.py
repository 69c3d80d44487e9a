"""Programs changed by hand, line by line: a line left out, or written anew."""

from dataclasses import replace

import numpy as np

from drasp.errors import DraspError
from drasp.ir.formulas import Number
from drasp.ir.nodes import (
    Aggregate,
    Compute,
    Harden,
    Mlp,
    Pair,
    Prediction,
    Project,
    Read,
    Select,
    Sharpen,
    Statement,
    addends,
    with_addends,
)
from drasp.ir.program import Program, alive
from drasp.lang.parser import parse
from drasp.lang.printer import print_program


def without(program: Program, line: str) -> Program:
    """The program without a line: a selector or projection is left out of what adds it up, a variable is 0 at every position.

    `drasp show` counts a line's cost in the same way, but puts the mean in place of a variable or projection, for which sequences are
    needed. A variable stays in its basis, so that what reads it stays as it is; where no formula has that basis, the 0 is written as
    `x / zero`, which is 0 by the rules of the language. Lines that the prediction does not depend on any more go too.

    Raises:
        DraspError: there is no such line, or it is the prediction.
    """
    removed = _statement(program, line)
    if isinstance(removed, Prediction):
        raise DraspError("a program cannot be without its prediction")
    statements: list[Statement] = []
    operators = dict(program.operators)
    for statement in program.statements:
        if statement is not removed:
            statements.append(with_addends(statement, tuple(name for name in addends(statement) if name != line)))
        elif not isinstance(removed, Select | Project):
            statements += _zero(program, removed, operators)
    return program.with_statements(alive(statements), operators)


def _zero(program: Program, statement: Statement, operators: dict[str, np.ndarray]) -> list[Statement]:
    """Statements that give a variable the value 0 in its basis; tensors that they need are put into `operators`."""
    name = statement.name
    taken = {*program.bases, *program.by_name}
    if isinstance(statement, Aggregate | Harden | Sharpen | Pair):
        zero = Compute(_free("zero", taken), (Number(0.0),))
        read = statement.reads[0]
        nothing = Read(read.variable, zero.name)
        return [zero, replace(statement, first=nothing) if isinstance(statement, Pair) else Aggregate(name, (), nothing)]
    if isinstance(statement, Mlp):  # nothing else has a residual basis
        op = _free(f"{statement.op}_zero", {tensor.split(".")[0] for tensor in operators})
        for tensor, array in program.operators.items():
            if tensor.startswith(f"{statement.op}."):
                part = tensor.removeprefix(f"{statement.op}.")
                operators[f"{op}.{part}"] = np.zeros_like(array) if part in ("w_out", "b_out") else array
        return [replace(statement, op=op)]
    return [Compute(name, (Number(0.0),) * program.bases[name].size)]


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def replaced(program: Program, name: str, text: str) -> Program:
    """The program with another right-hand side for a line, given as D-RASP text.

    Dense operators are those that the program has; what nothing uses any more goes.

    Raises:
        DraspError: there is no such line; the text is not one right-hand side; or the program is not legal with it. The place is that in
            the printed program.
    """
    _statement(program, name)
    if "\n" in text or "\r" in text:
        raise DraspError(f"the text for {name} must be one line")
    lines = print_program(program).split("\n")
    first = lines.index("") + 1
    lines[first + [statement.name for statement in program.statements].index(name)] = f"{name} = {text}"
    return parse("\n".join(lines), program.operators, "program")


def _statement(program: Program, name: str) -> Statement:
    if name not in program.by_name:
        raise DraspError(f"there is no line {name}; there are {', '.join(program.by_name)}")
    return program.by_name[name]
