"""What a program means: this file defines it.

One sequence is run, statement after statement, in double precision, with nothing done for speed. All that runs programs is tested against
it: the fast interpreter, the torch executor of the search, the browser's, and exported Python. The matrix of an operator is what its
primitives say (`drasp.ir.operators`).

In the formulas below x_i is the vector of a variable at position i, and x / 0 is 0.
"""

from collections.abc import Callable, Sequence
from math import exp, sqrt
from typing import Any

import numpy as np

from drasp.ir.activations import ACTIVATIONS
from drasp.ir.formulas import TOLERANCE, Apply, Arithmetic, Coordinate, Formula, Number, Test
from drasp.ir.labels import Label
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
    Read,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.norms import NORMS
from drasp.ir.program import Program

Array = np.ndarray[Any, Any]
Values = dict[str, Array]
"""By name: a variable (time, size of its basis), the scores of a selector (time, time), a projection (time, outputs)."""


def meaning(program: Program, token_ids: Sequence[int], position_ids: Sequence[int]) -> Values:
    """All that a program computes on one sequence, `prediction` being its logits (time, outputs).

    Args:
        token_ids, position_ids: (time), in range.
    """
    values = built_in(program, token_ids, position_ids)
    for statement in program.statements:
        values[statement.name] = value(program, statement, values)
    return values


def built_in(program: Program, token_ids: Sequence[int], position_ids: Sequence[int]) -> Values:
    """`token` and `pos` are 1 at the coordinate of the current token and position id, and 0 elsewhere; `one` is 1."""
    return {
        "token": np.array([one_hot(i, len(program.header.vocabulary)) for i in token_ids]),
        "pos": np.array([one_hot(i, program.header.positions) for i in position_ids]),
        "one": np.ones((len(token_ids), 1)),
    }


def value(program: Program, statement: Statement, values: Values) -> Array:
    """What one statement assigns, where the values of all before it are known."""
    return MEANINGS[type(statement)](program, statement, values)


def one_hot(index: int, size: int) -> Array:
    vector = np.zeros(size)
    vector[index] = 1
    return vector


def divided(x: Any, n: Any) -> Any:
    """x / n, a vector or number by a number; 0 where n is 0."""
    return x / n if n != 0 else np.zeros_like(x)


def taken(values: Values, read: Read) -> Array:
    """What a statement takes: x_i, or x_i / n_i where n, of one coordinate, is written below it."""
    x = values[read.variable]
    if read.over is None:
        return x
    n = values[read.over]
    return np.array([divided(x[i], n[i][0]) for i in range(len(x))])


def tensor(program: Program, name: str) -> Array:
    """A dense tensor, in double precision."""
    return program.operators[name].astype(float)


# Attention.


def select(program: Program, s: Select, values: Values) -> Array:
    """score_ij = q_i A k_j."""
    return taken(values, s.query) @ program.matrix(s.name) @ taken(values, s.key).T


def attention(program: Program, s: Aggregate, values: Values) -> Array:
    """w_ij = exp(t_ij) / sum_k exp(t_ik), t the sum of the selectors' scores, for the keys j that i sees; 0 for the others.

    No selector: t is 0.
    """
    time = len(values["one"])
    weights = np.zeros((time, time))
    for i in range(time):
        seen = keys(program, values, i)
        totals = [sum(float(values[selector][i, j]) for selector in s.selectors) for j in seen]
        powers = [exp(total - max(totals)) for total in totals]  # the same share, without overflow
        for j, power in zip(seen, powers, strict=True):
            weights[i, j] = power / sum(powers)
    return weights


def aggregate(program: Program, s: Aggregate, values: Values) -> Array:
    """a_i = sum_j w_ij y_j, over the keys j that i sees."""
    weights, y = attention(program, s, values), taken(values, s.value)
    seen = [keys(program, values, i) for i in range(len(y))]
    return np.array([weights[i, seen[i]] @ y[seen[i]] for i in range(len(y))])


def keys(program: Program, values: Values, i: int) -> list[int]:
    """The keys that i sees: those up to i, all where attention is bidirectional; not those that are padding, unless there are no others."""
    header = program.header
    seen = list(range(len(values["one"]) if header.bidirectional else i + 1))
    pad = None if header.pad is None else header.vocabulary.index(header.pad)
    return [j for j in seen if pad is None or values["token"][j, pad] == 0] or seen


# Logits.


def project(program: Program, s: Project, values: Values) -> Array:
    """l_i = x_i B."""
    return taken(values, s.input) @ program.matrix(s.name)


def prediction(program: Program, s: Prediction, values: Values) -> Array:
    """The sum of the projections; 0 where there is none. Softmax or sigmoid of it change no prediction and are left out."""
    total = np.zeros((len(values["one"]), len(program.header.predicted)))
    for projection in s.logits:
        total = total + values[projection]
    return total


# Element by element.


def table(program: Program, s: Table, values: Values) -> Array:
    """m_i = x_i T."""
    return taken(values, s.input) @ program.matrix(s.name)


def compare(program: Program, s: Compare, values: Values) -> Array:
    """m_i = x_i A y_i, one number."""
    matrix = program.matrix(s.name)
    return np.array([[x @ matrix @ y] for x, y in zip(taken(values, s.first), taken(values, s.second), strict=True)])


def norm(program: Program, s: Norm, values: Values) -> Array:
    """n_i = sqrt(z_i G z_i + eps), z_i the inputs side by side; a product below 0 counts as 0."""
    matrix, eps = program.matrix(s.name), program.norm_eps(s)
    inputs = np.concatenate([taken(values, read) for read in s.inputs], axis=1)
    return np.array([[sqrt(max(float(z @ matrix @ z), 0.0) + eps)] for z in inputs])


def mlp(program: Program, s: Mlp, values: Values) -> Array:
    """m_i = act(h w_in + b_in) w_out + b_out; with a gate, m_i = (act(h w_gate + b_gate) (h w_in + b_in)) w_out + b_out, unit by unit.

    r = sum_k x_k in_k over the inputs, and h = `normed`(r).
    """
    w_in, b_in, w_out, b_out = (tensor(program, f"{s.op}.{part}") for part in ("w_in", "b_in", "w_out", "b_out"))
    act = ACTIVATIONS[s.act].meaning
    rows = []
    for r in np.asarray(sum(taken(values, read) @ tensor(program, f"{s.op}.in.{k}") for k, read in enumerate(s.inputs))):
        h = normed(program, s, r)
        units = (h @ w_in + b_in).tolist()
        if f"{s.op}.w_gate" in program.operators:
            gates = (h @ tensor(program, f"{s.op}.w_gate") + tensor(program, f"{s.op}.b_gate")).tolist()
            hidden = [act(gate) * unit for gate, unit in zip(gates, units, strict=True)]
        else:
            hidden = [act(unit) for unit in units]
        rows.append(np.array(hidden) @ w_out + b_out)
    return np.array(rows)


def normed(program: Program, s: Mlp, r: Array) -> Array:
    """The norm before an mlp, of one position: gain c / sigma + shift, or c itself where it does not scale.

    c = r - mean(r), or r itself where it does not centre; sigma = sqrt(mean(c^2) + eps) where it is not given.
    """
    c = r - r.mean() if NORMS[s.norm].centred else r
    if not NORMS[s.norm].scaled:
        return c
    gain, shift, eps = (tensor(program, f"{s.op}.{part}") for part in ("gain", "shift", "eps"))
    given = f"{s.op}.sigma" in program.operators
    sigma = tensor(program, f"{s.op}.sigma") if given else np.sqrt((c**2).mean() + eps)
    return np.asarray(gain * divided(c, sigma) + shift)


def harden(program: Program, s: Harden, values: Values) -> Array:
    """One-hot of the largest coordinate of x_i, the first of equals."""
    return np.array([one_hot(int(np.argmax(x)), len(x)) for x in taken(values, s.input)])


def sharpen(program: Program, s: Sharpen, values: Values) -> Array:
    """m_i[c] = x_i[c]^n / sum_d x_i[d]^n; a negative coordinate counts as 0."""
    rows = []
    for x in np.maximum(taken(values, s.input), 0):
        powers = divided(x, x.max()) ** s.power  # the same share, without underflow
        rows.append(divided(powers, powers.sum()))
    return np.array(rows)


def pair(program: Program, s: Pair, values: Values) -> Array:
    """m_i[(c, d)] = x_i[c] y_i[d]."""
    pairs = zip(taken(values, s.first), taken(values, s.second), strict=True)
    return np.array([[a * b for a in x for b in y] for x, y in pairs])


def compute(program: Program, s: Compute, values: Values) -> Array:
    """m_i[k] = the k-th formula."""
    return np.array([[formula(program, f, values, i) for f in s.formulas] for i in range(len(values["one"]))])


def case(program: Program, s: Case, values: Values) -> Array:
    """m_i = sum_c x_i[c] f_c over the branches: for a one-hot x, the formula of its hot coordinate."""
    rows = []
    for i in range(len(values["one"])):
        rows.append([sum(coordinate(program, s.input, label, values, i) * formula(program, f, values, i) for label, f in s.branches)])
    return np.array(rows)


# Formulas.


def coordinate(program: Program, read: Read, label: Label, values: Values, i: int) -> float:
    """x_i[c]."""
    axis = program.header.axis(program.bases[read.variable])
    return float(taken(values, read)[i][axis.index(label)])


def formula(program: Program, f: Formula, values: Values, i: int) -> float:
    """A formula at position i."""
    if isinstance(f, Number):
        return f.value
    if isinstance(f, Coordinate):
        return coordinate(program, f.read, f.label, values, i)
    if isinstance(f, Test):
        x = taken(values, f.read)[i].tolist()
        return float(TESTS[f.name](x, *(coordinate(program, f.read, label, values, i) for label in f.labels)))
    if isinstance(f, Apply):
        return float(FUNCTIONS[f.function](*(formula(program, argument, values, i) for argument in f.arguments)))
    if isinstance(f, Arithmetic):
        return float(ARITHMETIC[f.operator](formula(program, f.left, values, i), formula(program, f.right, values, i)))
    return -formula(program, f.operand, values, i)


FUNCTIONS: dict[str, Callable[..., float]] = {
    "relu": ACTIVATIONS["relu"].meaning,
    "gelu": ACTIVATIONS["gelu"].meaning,
    "step": lambda x: x > 0,
    "sign": lambda x: (x > 0) - (x < 0),
    "min": min,
    "max": max,
}

ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": divided,
}

TESTS: dict[str, Callable[..., bool]] = {
    "exists": lambda x, c: c > TOLERANCE,
    "only": lambda x: sum(share > TOLERANCE for share in x) == 1,
    "balance": lambda x, c, d: abs(c - d) <= TOLERANCE,
}
"""Of a distribution x and the values of the coordinates that are named."""

MEANINGS: dict[type[Statement], Callable[[Program, Any, Values], Array]] = {
    Select: select,
    Aggregate: aggregate,
    Project: project,
    Norm: norm,
    Mlp: mlp,
    Table: table,
    Harden: harden,
    Sharpen: sharpen,
    Pair: pair,
    Compare: compare,
    Compute: compute,
    Case: case,
    Prediction: prediction,
}
