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
from drasp.learn.adam import Objective, Schedule, adam, adam_on
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.values import Attended, Patched
from drasp.rewrite.numbers import numbers_of, with_numbers
from drasp.run.gated import Executor

Line = Select | Project


def fit_strengths(program: Program, oracle: Oracle, schedule: Schedule, digits: int, budget: Budget) -> Program:
    """The program with the numbers of its selectors and projections fitted, to so many significant digits."""
    lines = [s for s in program.statements if isinstance(s, Line) and not isinstance(s.op, Dense)]
    values = oracle.journal.once(
        "fit of strengths", digest(program.digest, schedule), lambda: _fitted(program, lines, oracle, schedule, budget), budget
    )
    return _with_values(program, lines, values, digits)


def fit_attention(
    program: Program, patched: Patched, sequences: Sequence[Attended], schedule: Schedule, digits: int, budget: Budget
) -> Program:
    """The program with the numbers of its selectors fitted such that the model, their attention in the place of its own, decides alike."""
    oracle = patched.oracle
    lines = [s for s in program.statements if isinstance(s, Select)]
    question, about = "fit of attention in the model", digest(program.digest, schedule, sorted(patched.heads.items()))
    values = oracle.journal.once(question, about, lambda: _in_the_model(program, lines, patched, sequences, schedule, budget), budget)
    return _with_values(program, lines, values, digits)


def _in_the_model(
    program: Program, lines: Sequence[Select], patched: Patched, sequences: Sequence[Attended], schedule: Schedule, budget: Budget
) -> list[list[float]]:
    executor, oracle = Executor(program, patched.oracle.device), patched.oracle
    learned = [_Fitted(line.name, _parts(program, line, oracle.device), _ones(line, oracle.device)) for line in lines]

    def loss(part: Attended) -> Tensor:
        tuned = _tuned(executor, learned)
        return oracle.loss(patched.logits(tuned, part), part.batch, schedule.how.targets).mean()

    def draw(rng: np.random.Generator) -> list[Attended]:
        return [sequences[i] for i in rng.integers(len(sequences), size=2)]

    objective = Objective([line.factors for line in learned], loss, len(program.statements) + oracle.study.work)
    adam_on(objective, draw, schedule, budget)
    return _numbers(lines, learned)


def _numbers(lines: Sequence[Line], learned: Sequence["_Fitted"]) -> list[list[float]]:
    """The numbers of each line as they were learned."""
    factors = [found.factors.detach().double().cpu().numpy() for found in learned]
    return [(np.array(numbers_of(_symbolic(line))) * factor).tolist() for line, factor in zip(lines, factors, strict=True)]


def _with_values(program: Program, lines: Sequence[Line], values: Sequence[Sequence[float]], digits: int) -> Program:
    """The program with other numbers in some lines, to so many significant digits."""
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


def _tuned(executor: Executor, learned: Sequence[_Fitted]) -> Executor:
    """The executor with the lines as they are learned so far: one of its own for each batch, as several are worked on at once."""
    tuned = copy(executor)
    tuned.matrices = {**executor.matrices, **{line.name: line.matrix for line in learned}}
    return tuned


def _fitted(program: Program, lines: Sequence[Line], oracle: Oracle, schedule: Schedule, budget: Budget) -> list[list[float]]:
    """The numbers of each line."""
    executor = Executor(program, oracle.device)
    learned = [_Fitted(line.name, _parts(program, line, oracle.device), _ones(line, oracle.device)) for line in lines]

    def loss(batch: Batch) -> Tensor:
        tuned = _tuned(executor, learned)
        logits = tuned.scored_logits(batch.token_ids, batch.position_ids, batch.scored)
        return oracle.loss(logits, batch, schedule.how.targets).mean()

    adam(Objective([line.factors for line in learned], loss, len(program.statements)), oracle, schedule, budget)
    return _numbers(lines, learned)


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
