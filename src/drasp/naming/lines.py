"""Single lines named: the dense operator of one selector, projection or table in symbols, from the shortest description on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from drasp.ir.nodes import Project, Read, Select, Table
from drasp.ir.operators import Dense, Sum, Symbolic, Term
from drasp.ir.primitives.tables import Entries
from drasp.ir.program import Program
from drasp.ir.size import NUMBERS_AT_MOST
from drasp.naming.operators import describe
from drasp.naming.target import Sides
from drasp.naming.tuning import LineTuning
from drasp.run.numpy_fast import evaluate
from drasp.tasks.protocol import Sample

Line = Select | Project | Table


def dense_lines(program: Program) -> list[Line]:
    """The lines with a dense operator."""
    return [s for s in program.statements if isinstance(s, Line) and isinstance(s.op, Dense)]


def line_rewrites(program: Program, line: Line, samples: Sequence[Sample], tuning: LineTuning) -> Iterator[Program]:
    """The program with one line in symbols, the shortest description first."""
    for op in descriptions(program, line, samples, tuning):
        yield program.with_statements(replace(line, op=op) if s.name == line.name else s for s in program.statements)


def descriptions(program: Program, line: Line, samples: Sequence[Sample], tuning: LineTuning) -> Iterator[Symbolic]:
    """Operators that could stand for the dense one of a line, the shortest first; none that would be opaque for its numbers."""
    matrix = np.asarray(program.matrix(line.name), dtype=np.float64)
    if (isinstance(line, Table) and matrix.shape[1] > 1) or matrix.size > tuning.described_at_most:
        return
    left, right = line.reads[0], line.reads[1] if isinstance(line, Select) else None
    rows, columns = _usage(program, left, samples), np.ones(matrix.shape[1]) if right is None else _usage(program, right, samples)
    if 1 in matrix.shape:
        usage = rows if matrix.shape[1] == 1 else columns
        yield from _vectors(program, line, np.where(usage > 0, matrix.ravel(), 0), usage, tuning)
        return
    output = program.header.output
    axes = [
        program.header.axis(program.bases[left.variable]),
        program.header.axis(output if right is None else program.bases[right.variable]),
    ]
    free = line.key.over is None if isinstance(line, Select) else program.header.predict == "next-token"
    for found in describe(matrix, np.outer(rows, columns), Sides(axes[0], axes[1], "row" if free else "constant", tuning.operator)):
        if found.numbers <= NUMBERS_AT_MOST:
            yield found.op


def _vectors(program: Program, line: Line, values: np.ndarray, usage: np.ndarray, tuning: LineTuning) -> Iterator[Symbolic]:
    """One number a coordinate, with ever more digits."""
    side = program.bases[line.reads[0].variable]
    if side.size == 1:
        side = program.bases[line.key.variable] if isinstance(line, Select) else program.header.output
    axis = program.header.axis(side)
    if isinstance(line, Select) and line.key.over is None:
        values = np.where(usage > 0, values - np.median(values[usage > 0]), 0)
    for digits in tuning.digits:
        rounded = [(axis.label(i), float(f"{value:.{digits}g}")) for i, value in enumerate(values) if value]
        if len(rounded) <= NUMBERS_AT_MOST and rounded:
            yield Sum((Term(1.0, Entries(tuple(rounded))),))


def _usage(program: Program, read: Read, samples: Sequence[Sample]) -> np.ndarray:
    """How much of each coordinate there is on the average, padding left out."""
    total = np.zeros(program.bases[read.variable].size)
    for sample in samples:
        value = np.abs(evaluate(program, sample.token_ids, sample.position_ids).value(read.variable))
        real = sample.real(program.header.bidirectional)
        total += value[real].sum(0)
    return total / max(total.sum(), 1e-12)
