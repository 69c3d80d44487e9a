"""The few numbers of a program in symbols fitted together, by Adam, to the model's decisions: what each head and readout was given alone
need not be the best for all of them.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.journal import digest
from drasp.ir.nodes import Project, Select
from drasp.ir.operators import Dense, Symbolic
from drasp.ir.program import Program
from drasp.learn.adam import Objective, Schedule, adam
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.rewrite.numbers import numbers_of, with_numbers
from drasp.run.gated import Executor

Line = Select | Project


def fit_strengths(program: Program, oracle: Oracle, schedule: Schedule, digits: int, budget: Budget) -> Program:
    """The program with the numbers of its selectors and projections fitted, to so many significant digits."""
    lines = [s for s in program.statements if isinstance(s, Line) and not isinstance(s.op, Dense)]
    values = oracle.journal.once(
        "fit of strengths", digest(program.digest, schedule), lambda: _fitted(program, lines, oracle, schedule, budget), budget
    )
    fitted = {line.name: _with(line, _rounded(found, digits)) for line, found in zip(lines, values, strict=True)}
    return program.with_statements(fitted.get(s.name, s) for s in program.statements)


def _with(line: Line, values: Sequence[float]) -> Line:
    return replace(line, op=with_numbers(_symbolic(line), values))


def _symbolic(line: Line) -> Symbolic:
    assert not isinstance(line.op, Dense)
    return line.op


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]


@dataclass(frozen=True)
class _Fitted:
    """A line whose numbers are fitted.

    Attributes:
        parts: (numbers, rows, columns), what each number alone makes of the line's matrix.
        factors: (numbers), what is learned.
    """

    name: str
    parts: Tensor
    factors: Tensor

    @property
    def matrix(self) -> Tensor:
        return torch.einsum("n,nrc->rc", self.factors, self.parts)


def _fitted(program: Program, lines: Sequence[Line], oracle: Oracle, schedule: Schedule, budget: Budget) -> list[list[float]]:
    """The numbers of each line."""
    executor = Executor(program, oracle.device)
    learned = [_Fitted(line.name, _parts(program, line, oracle.device), _ones(line, oracle.device)) for line in lines]

    def loss(batch: Batch) -> Tensor:
        tuned = copy(executor)
        tuned.matrices = {**executor.matrices, **{line.name: line.matrix for line in learned}}
        logits = tuned.scored_logits(batch.token_ids, batch.position_ids, batch.scored)
        return oracle.loss(logits, batch, schedule.how.targets).mean()

    adam(Objective([line.factors for line in learned], loss, len(program.statements)), oracle, schedule, budget)
    return [
        (np.array(numbers_of(_symbolic(line))) * found.factors.detach().double().cpu().numpy()).tolist()
        for line, found in zip(lines, learned, strict=True)
    ]


def _ones(line: Line, device: torch.device) -> Tensor:
    return torch.ones(len(numbers_of(_symbolic(line))), device=device, requires_grad=True)


def _parts(program: Program, line: Line, device: torch.device) -> Tensor:
    """What each number of a line makes of its matrix: (numbers, rows, columns)."""
    values = numbers_of(_symbolic(line))
    alone = []
    for i, value in enumerate(values):
        only = _with(line, [value if j == i else 0.0 for j in range(len(values))])
        other = program.with_statements(only if s.name == line.name else s for s in program.statements)
        alone.append(torch.tensor(other.matrix(line.name), dtype=torch.float32, device=device))
    return torch.stack(alone)
