"""Means, gradients and constants: what the search learns about a program from the model's predictions."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from drasp.ir.nodes import ONE_READ, Aggregate, Mlp, Norm, Select
from drasp.ir.program import Program, feeds_attention
from drasp.passes.context import Context, Targets
from drasp.passes.pools import Batch
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import Executor, Knobs, Site, sites
from drasp.run.parallel import in_order

Item = TypeVar("Item")


def stand_ins(program: Program, context: Context, batches: Sequence[Batch]) -> dict[Site, np.ndarray]:
    """What replaces each site when it is turned off: its mean.

    A projection and what only feeds the output is averaged over the scored positions, the rest over all. A division gets 1/n by the
    coordinate of the variable it divides where that is one-hot (the overall mean where a coordinate never came up), and a scalar elsewhere
    and in projections. A selector needs none: a constant score is no score; nor does what reads `one`, which is its own mean.
    """
    executor = Executor(program, context.device)
    feeding = feeds_attention(program)
    sizes = {name: basis.size for name, basis in program.bases.items()}

    @torch.no_grad()
    def sums(batch: Batch) -> dict[Site, tuple[Tensor, Tensor]]:
        found: dict[Site, tuple[Tensor, Tensor]] = {}
        real = batch.scored.flip(1).cumsum(1).flip(1) > 0  # up to the last scored position: what comes after is not read

        def observe(site: Site, value: Tensor, ids: Tensor | None) -> None:
            statement = program.by_name[site.statement]
            if site.part == "total":
                return
            if site.part != "division" and (isinstance(statement, Select) or statement.reads[site.slot] == ONE_READ):
                return
            where = real if isinstance(statement, Select | Aggregate) or site.statement in feeding else batch.scored
            if site.part == "division":
                size = sizes[statement.reads[site.slot].variable] if ids is not None else 1
                index = ids[where] if ids is not None else torch.zeros(int(where.sum()), dtype=torch.long, device=context.device)
                total, count = (torch.zeros(size, device=context.device) for _ in range(2))
                total.index_add_(0, index, value[where])
                count.index_add_(0, index, torch.ones_like(value[where]))
            else:
                value = value.expand(*where.shape, -1)[where]
                total, count = value.sum(0), torch.tensor(float(len(value)), device=context.device)
            found[site] = total, count

        executor.logits(batch.token_ids, batch.position_ids, observe=observe)
        return found

    totals: dict[Site, Tensor] = {}
    counts: dict[Site, Tensor] = {}
    for found in in_order(sums, batches):
        for site, (total, count) in found.items():
            totals[site] = totals.get(site, torch.zeros_like(total)) + total
            counts[site] = counts.get(site, torch.zeros_like(count)) + count
    means = {}
    for site, total in totals.items():
        overall = total.sum() / counts[site].sum() if site.part == "division" else total
        means[site] = torch.where(counts[site] > 0, total / counts[site].clamp(min=1), overall).double().cpu().numpy()
    return means


def importance(program: Program, context: Context, batches: Sequence[Batch]) -> dict[Site, float]:
    """How much each site matters: the mean over sequences of |d loss / d multiplier| at 1.

    The loss is the one to the model's hard predictions: that to its probabilities has no gradient where the program is exact.
    """
    every = sites(program)

    def ask() -> list[float]:
        executor = Executor(program, context.device)
        index = {site: i for i, site in enumerate(every)}
        means = as_tensors(stand_ins(program, context, batches), context)

        def gradients(batch: Batch) -> Tensor:
            multipliers = torch.ones(batch.sequences, len(index), device=context.device, requires_grad=True)
            logits = executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored, Knobs(index, multipliers, means))
            context.loss(logits, batch, "hard").sum().backward()
            assert multipliers.grad is not None
            return multipliers.grad.abs().sum(0)

        total = torch.zeros(len(index), device=context.device)
        for found in in_order(gradients, batches):
            total += found
        return (total / sum(b.sequences for b in batches)).tolist()

    return dict(zip(every, context.journal.once("importance", ask), strict=True))


def fit(program: Program, context: Context, targets: Targets, steps: int, rate: float, seed: int, long: int = 1) -> Program:
    """The program with the strength of every line and input, and every constant, fitted by Adam to the model's predictions.

    `long`: how many batches of sequences of all lengths each step is taken on.
    """
    lines = [site for site in sites(program) if site.part != "division"]
    means = as_tensors({s: v for s, v in stand_ins(program, context, context.sample).items() if s.part != "division"}, context)
    values, constants = context.journal.once("fit", lambda: _fit(program, lines, means, context, targets, steps, rate, seed, long))
    stand = {site: mean.double().cpu().numpy() for site, mean in means.items()}
    return ablate(program, Ablation(dict(zip(lines, values, strict=True)), stand, constants))


def _fit(
    program: Program,
    lines: Sequence[Site],
    means: Mapping[Site, Tensor],
    context: Context,
    targets: Targets,
    steps: int,
    rate: float,
    seed: int,
    long: int,
) -> tuple[list[float], dict[str, np.ndarray]]:
    """The multiplier of each line, and the constants by statement.

    A constant is learned in units of what it is added to: in D3 the logits are some 250 times larger than the MLP's inputs.
    """
    executor = Executor(program, context.device)
    index = {site: i for i, site in enumerate(lines)}
    unit = units(executor, context.sample)
    multipliers = torch.ones(len(lines), device=context.device, requires_grad=True)
    shifts = zero_shifts(executor)
    optimiser = torch.optim.Adam([multipliers, *shifts.values()], lr=rate, eps=1e-6)
    rng = np.random.default_rng([seed, 7])
    for step in range(steps):
        context.check_time()
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (steps - step) / steps)

        def loss(batch: Batch) -> Tensor:
            constants = {name: unit[name] * shift for name, shift in shifts.items()}
            knobs = Knobs(index, multipliers, means, constants)
            logits = executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored, knobs)
            return context.loss(logits, batch, targets).mean()

        descend(optimiser, loss, context.draw(rng, targets, long))
    values = multipliers.detach().double().cpu().tolist()
    return values, {name: (unit[name] * shift.detach()).double().cpu().numpy() for name, shift in shifts.items()}


def descend(optimiser: torch.optim.Optimizer, loss: Callable[[Item], Tensor], parts: Sequence[Item]) -> None:
    """One step down the sum of the losses of some parts."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad()
    for gradients in in_order(lambda part: torch.autograd.grad(loss(part), parameters, allow_unused=True), parts):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    optimiser.step()


def zero_shifts(executor: Executor) -> dict[str, Tensor]:
    """What is learned of each constant, to begin with 0: of the logits ("prediction") and of the summed inputs of each mlp and norm."""
    widths = {"prediction": len(executor.program.header.vocabulary)}
    for statement in executor.program.statements:
        if isinstance(statement, Norm | Mlp):
            widths[statement.name] = executor.input_width(statement)
    return {name: torch.zeros(width, device=executor.device, requires_grad=True) for name, width in widths.items()}


@torch.no_grad()
def units(executor: Executor, batches: Sequence[Batch]) -> dict[str, float]:
    """The root mean square of the logits and of the summed inputs of each mlp and norm."""
    squares: dict[str, list[Tensor]] = {}

    def observe(site: Site, value: Tensor, ids: Tensor | None) -> None:
        if site.part == "total":
            squares.setdefault(site.statement, []).append(value.square().mean())

    for batch in batches:
        executor.logits(batch.token_ids, batch.position_ids, observe=observe)
    return {name: float(torch.stack(values).mean().sqrt()) for name, values in squares.items()}


def as_tensors(arrays: Mapping[Site, np.ndarray], context: Context) -> dict[Site, Tensor]:
    return {site: torch.tensor(array, dtype=torch.float32, device=context.device) for site, array in arrays.items()}
