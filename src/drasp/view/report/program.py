"""A program as the data that `interpreter.js` runs: every label an index, every operator a tensor."""

import base64
import zlib
from math import prod
from typing import Any

import numpy as np

from drasp.ir.basis import Basis
from drasp.ir.formulas import Apply, Arithmetic, Coordinate, Formula, Number, Read, Test
from drasp.ir.nodes import (
    Aggregate,
    Bilinear,
    Case,
    Compute,
    Mlp,
    Norm,
    Prediction,
    Sharpen,
    Statement,
)
from drasp.ir.norms import NORMS
from drasp.ir.program import Program, tensor_names
from drasp.lang.printer import statement_text
from drasp.view.captions import detail

Json = dict[str, Any]

ENTRIES_AT_MOST = 1 << 23  # of all operators together: 64 MB in the browser
SINGLE = float(np.finfo(np.float32).eps)
FACTOR_ERROR = 8 * SINGLE  # of the largest entry, that a product of factors may be off


def program_data(program: Program, characters: float, entries: float = ENTRIES_AT_MOST) -> Json:
    """A program for the page.

    Args:
        program: what the page runs.
        characters: how many the tensors may take in JSON; those that do not fit, the largest, are left out (null).
        entries: how many they may have together, likewise.

    Returns:
        "vocabulary", "outputs" (the vocabulary, where it has no others), "output" (their basis), "positions", "predict", "bidirectional",
        "pad"; "bases" of the variables; "statements"; "tensors", to which these
        refer by their place in that list: {"shape", "symmetric", "rank", "data"}. The data are the entries row by row (of a symmetric one
        the upper triangle) as little-endian doubles, compressed by zlib, in base64. Where `rank` is not null they are those of two factors,
        (rows, rank) and (rank, columns), in single precision: so are large operators of small rank written where the program would not fit.
    """
    tensors = _Tensors()
    statements = [_statement(program, statement, tensors) for statement in program.statements]
    header = program.header
    return {
        "vocabulary": list(header.vocabulary),
        "outputs": list(header.predicted),
        "output": _basis(header.output),
        "positions": header.positions,
        "predict": header.predict,
        "bidirectional": header.bidirectional,
        "pad": None if header.pad is None else header.vocabulary.index(header.pad),
        "bases": {name: _basis(basis) for name, basis in program.bases.items()},
        "statements": statements,
        "tensors": tensors.packed(characters, entries),
    }


class _Tensors:
    """The different tensors of a program."""

    def __init__(self) -> None:
        self.found: dict[tuple[tuple[int, ...], bytes], int] = {}
        self.symmetric: list[bool] = []

    def add(self, array: np.ndarray, symmetric: bool = False) -> int:
        """The place of a tensor in the list. Of a `symmetric` one only z A z matters, for which A and its transpose are the same."""
        values = np.asarray(array, np.float64)
        if symmetric:
            values = values[np.triu_indices(len(values))] * 0.5 + values.T[np.triu_indices(len(values))] * 0.5
        key = (np.shape(array), values.astype("<f8").tobytes())
        if key not in self.found:
            self.found[key] = len(self.found)
            self.symmetric.append(symmetric)
        return self.found[key]

    def packed(self, characters: float, most: float) -> list[Json | None]:
        """All that fit, the small ones first."""
        whole: list[Json] = [
            {"shape": list(shape), "symmetric": symmetric, "rank": None, "data": _text(entries)}
            for (shape, entries), symmetric in zip(self.found, self.symmetric, strict=True)
        ]
        if sum(len(tensor["data"]) for tensor in whole) > characters:
            entries = [entries for _, entries in self.found]
            whole = [_factored(tensor, found) for tensor, found in zip(whole, entries, strict=True)]
        packed: list[Json | None] = [None] * len(whole)
        total = 0
        for place in sorted(range(len(whole)), key=lambda i: len(whole[i]["data"])):
            characters -= len(whole[place]["data"])
            total += prod(whole[place]["shape"])
            if characters >= 0 and total <= most:
                packed[place] = whole[place]
        return packed


def _text(entries: bytes) -> str:
    return base64.b64encode(zlib.compress(entries)).decode()


def _factored(tensor: Json, entries: bytes) -> Json:
    """A packed tensor as two factors, where that is shorter and as good."""
    values = np.frombuffer(entries, "<f8")
    if len(tensor["shape"]) != 2 or not values.any():
        return tensor
    if tensor["symmetric"]:
        upper = np.zeros(tensor["shape"])
        upper[np.triu_indices(len(upper))] = values
        matrix = upper + np.triu(upper, 1).T
    else:
        matrix = values.reshape(tensor["shape"])
    left, weights, right = np.linalg.svd(matrix, full_matrices=False)
    rank = int((weights > SINGLE * weights[0]).sum())
    scale = np.sqrt(weights[:rank])
    with np.errstate(all="ignore"):  # factors too large for single precision: the product is not near, then
        factors = (left[:, :rank] * scale).astype("<f4"), (scale[:, None] * right[:rank]).astype("<f4")
        near = np.abs(factors[0].astype(np.float64) @ factors[1].astype(np.float64) - matrix).max() <= FACTOR_ERROR * np.abs(matrix).max()
    data = _text(b"".join(factor.tobytes() for factor in factors))
    if len(data) >= len(tensor["data"]) or not near:
        return tensor
    return tensor | {"symmetric": False, "rank": rank, "data": data}


def _basis(basis: Basis) -> Json:
    return {"kind": basis.kind, "size": basis.size, "parts": [_basis(part) for part in basis.parts]}


def _read(read: Read) -> Json:
    return {"variable": read.variable, "over": read.over}


def _statement(program: Program, statement: Statement, tensors: _Tensors) -> Json:
    """What every statement has, and what its kind has in addition."""
    common: Json = {
        "name": statement.name,
        "kind": type(statement).__name__.lower(),
        "text": statement_text(statement, program.header),
        "caption": detail(program, statement),
        "reads": [_read(read) for read in statement.reads],
    }
    if isinstance(statement, Bilinear):
        common["op"] = tensors.add(program.matrix(statement.name), symmetric=isinstance(statement, Norm))
    return common | _special(program, statement, tensors)


def _special(program: Program, statement: Statement, tensors: _Tensors) -> Json:
    if isinstance(statement, Aggregate):
        return {"selectors": list(statement.selectors)}
    if isinstance(statement, Prediction):
        return {"logits": list(statement.logits)}
    if isinstance(statement, Norm):
        return {"eps": program.norm_eps(statement)}
    if isinstance(statement, Mlp):
        names = (name for name in tensor_names(statement) if name in program.operators)
        kind = NORMS[statement.norm]
        how: Json = {"act": statement.act, "centred": kind.centred, "scaled": kind.scaled}
        return how | {"tensors": {name.removeprefix(f"{statement.op}."): tensors.add(program.operators[name]) for name in names}}
    if isinstance(statement, Sharpen):
        return {"power": statement.power}
    if isinstance(statement, Compute):
        return {"formulas": [_formula(program, formula) for formula in statement.formulas]}
    if isinstance(statement, Case):
        branches = ((_index(program, statement.input, label), _formula(program, formula)) for label, formula in statement.branches)
        return {"branches": [{"coordinate": index, "formula": formula} for index, formula in branches]}
    return {}


def _index(program: Program, read: Read, label: Any) -> int:
    return program.header.axis(program.bases[read.variable]).index(label)


def _formula(program: Program, formula: Formula) -> Json:
    if isinstance(formula, Number):
        return {"kind": "number", "value": formula.value}
    if isinstance(formula, Coordinate):
        return {"kind": "coordinate", "read": _read(formula.read), "coordinate": _index(program, formula.read, formula.label)}
    if isinstance(formula, Test):
        coordinates = [_index(program, formula.read, label) for label in formula.labels]
        return {"kind": "test", "name": formula.name, "read": _read(formula.read), "coordinates": coordinates}
    if isinstance(formula, Apply):
        return {"kind": "apply", "name": formula.function, "arguments": [_formula(program, part) for part in formula.arguments]}
    if isinstance(formula, Arithmetic):
        sides = [_formula(program, formula.left), _formula(program, formula.right)]
        return {"kind": "arithmetic", "name": formula.operator, "arguments": sides}
    return {"kind": "negate", "arguments": [_formula(program, formula.operand)]}
