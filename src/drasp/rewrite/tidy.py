"""The last pass: every variable is called by what it is, or else numbered in the order of the statements; tensors in single precision."""

import numpy as np

from drasp.ir.formulas import Apply, Arithmetic, Coordinate
from drasp.ir.nodes import (
    POS,
    TOKEN,
    Aggregate,
    Compute,
    Mlp,
    Norm,
    Prediction,
    Project,
    Select,
    Statement,
    Table,
    renamed,
    with_tensors,
)
from drasp.ir.operators import Dense
from drasp.ir.program import Program, tensor_names

STEMS: dict[type, tuple[str, str]] = {
    Select: ("s", "A"),
    Aggregate: ("a", ""),
    Project: ("logits", "B"),
    Norm: ("n", "G"),
    Mlp: ("m", "M"),
    Table: ("t", "T"),
}
ELSE = ("m", "")  # computed element by element, with no tensor


def tidy(program: Program, aside: float) -> Program:
    """Renames `s0_1_3` to `s1` and its operator to `A1`, and what tells of itself to `histogram`, `prev_token` or `more_a`.

    Every tensor is rounded to float32, which is what is saved and judged.

    Args:
        aside: share of the weight that attention to the previous position may give to all the others together.
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    statements: list[Statement] = []
    tensors: dict[str, np.ndarray] = {}
    for statement in program.statements:
        if isinstance(statement, Prediction):
            statements.append(renamed(statement, names))
            continue
        stem, operator = STEMS.get(type(statement), ELSE)
        telling = _telling(program, statement, aside)
        if telling is None:
            counts[stem] = counts.get(stem, 0) + 1
            names[statement.name] = f"{stem}{counts[stem]}"
        else:
            counts[telling] = counts.get(telling, 0) + 1
            names[statement.name] = telling + (f"_{counts[telling]}" if counts[telling] > 1 else "")
        new_op = f"{operator}{counts.get(stem, 0)}"
        old_op = statement.op if isinstance(statement, Mlp) else getattr(getattr(statement, "op", None), "name", "")
        for tensor in tensor_names(statement):
            if tensor in program.operators:
                tensors[new_op + tensor[len(old_op) :]] = program.operators[tensor].astype(np.float32)
        statements.append(with_tensors(renamed(statement, names), new_op))
    return Program(program.header, tuple(statements), tensors)


def _telling(program: Program, statement: Statement, aside: float) -> str | None:
    """What a variable may be called because it is just that; None where no name says all."""
    if isinstance(statement, Aggregate) and statement.value in (TOKEN, POS):
        noun = statement.value.variable
        if not statement.selectors:
            return "histogram" if noun == "token" else None
        return f"prev_{noun}" if len(statement.selectors) == 1 and _to_previous(program, statement.selectors[0], aside) else None
    match statement:
        case Compute(_, (Apply("step", (Arithmetic("-", Coordinate(read, more), Coordinate(other, _)),)),)) if read == other:
            return f"more_{more}" if f"a{more}".isidentifier() and f"a{more}".isascii() else None
    return None


def _to_previous(program: Program, selector: str, aside: float) -> bool:
    """Whether all but a little of the attention goes to the previous position, wherever that is."""
    select = program.by_name[selector]
    if not isinstance(select, Select) or select.query != POS or select.key != POS or isinstance(select.op, Dense):
        return False
    scores = program.matrix(selector)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    share = np.diagonal(weights, -1) / np.tril(weights).sum(1)[1:]
    return bool((share >= 1 - aside).all())
