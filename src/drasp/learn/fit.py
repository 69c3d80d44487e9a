"""A program's constants fitted to the model's predictions."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.journal import digest
from drasp.ir.nodes import Mlp, Norm
from drasp.ir.program import Program
from drasp.learn.adam import Objective, Schedule, adam
from drasp.learn.means import as_tensors, mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch, charged
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import AblationPoint, Executor, Mask, ablation_points


def fit(program: Program, oracle: Oracle, schedule: Schedule, budget: Budget) -> Program:
    """The program with the strength of every line and input, and every constant, fitted by Adam to the model's predictions."""
    means = {s: v for s, v in mean_values(program, oracle, budget).items() if s.part != "division"}
    tensors = as_tensors(means, oracle)
    values, constants = oracle.journal.once(
        "fit", digest(program.digest, schedule), lambda: _fitted(program, tensors, oracle, schedule, budget), budget
    )
    replaced = {point: mean.double().cpu().numpy() for point, mean in tensors.items()}  # in single precision, as they were fitted with
    return ablate(program, Ablation(dict(zip(fitted_points(program), values, strict=True)), replaced, constants))


def _fitted(
    program: Program, means: Mapping[AblationPoint, Tensor], oracle: Oracle, schedule: Schedule, budget: Budget
) -> tuple[list[float], dict[str, np.ndarray]]:
    """The multiplier of each line, and the constants by statement.

    A constant is learned in units of what it is added to: in D3 the logits are some 250 times larger than the MLP's inputs.
    """
    executor = Executor(program, oracle.device)
    index = {point: i for i, point in enumerate(fitted_points(program))}
    unit = units(executor, charged(oracle.sample, len(program.statements), budget))
    multipliers = torch.ones(len(index), device=oracle.device, requires_grad=True)
    shifts = zero_shifts(executor)

    def loss(batch: Batch) -> Tensor:
        constants = {name: unit[name] * shift for name, shift in shifts.items()}
        mask = Mask(index, multipliers, means, constants)
        logits = executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored, mask)
        return oracle.loss(logits, batch, schedule.how.targets).mean()

    adam(Objective([multipliers, *shifts.values()], loss, len(program.statements)), oracle, schedule, budget)
    values = multipliers.detach().double().cpu().tolist()
    return values, {name: (unit[name] * shift.detach()).double().cpu().numpy() for name, shift in shifts.items()}


def fitted_points(program: Program) -> list[AblationPoint]:
    """The lines and inputs, whose strengths are fitted; a divisor stays as it is."""
    return [point for point in ablation_points(program) if point.part != "division"]


def zero_shifts(executor: Executor) -> dict[str, Tensor]:
    """What is learned of each constant, to begin with 0: of the logits ("prediction") and of the summed inputs of each mlp and norm."""
    widths = {"prediction": len(executor.program.header.predicted)}
    for statement in executor.program.statements:
        if isinstance(statement, Norm | Mlp):
            widths[statement.name] = executor.input_width(statement)
    return {name: torch.zeros(width, device=executor.device, requires_grad=True) for name, width in widths.items()}


@torch.no_grad()
def units(executor: Executor, batches: Iterable[Batch]) -> dict[str, float]:
    """The root mean square of the logits and of the summed inputs of each mlp and norm."""
    squares: dict[str, list[Tensor]] = {}

    def observe(point: AblationPoint, value: Tensor, ids: Tensor | None) -> None:
        if point.part == "total":
            squares.setdefault(point.statement, []).append(value.square().mean())

    for batch in batches:
        executor.logits(batch.token_ids, batch.position_ids, observe=observe)
    return {name: float(torch.stack(values).mean().sqrt()) for name, values in squares.items()}
