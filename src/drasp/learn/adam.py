"""The one Adam loop: parameters fitted to the model's predictions on batches drawn step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.parallel import in_order
from drasp.core.seeds import Stream
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.tuning import RefitTuning

Part = TypeVar("Part")


@dataclass(frozen=True)
class Schedule:
    """One round of a fit.

    Attributes:
        rate: learning rate at the start; it falls linearly in the second half.
        seed: of the batches that are drawn.
        long: batches of sequences of all lengths a step.
    """

    how: RefitTuning
    rate: float
    seed: int
    long: int = 1


@dataclass(frozen=True)
class Objective(Generic[Part]):
    """What is fitted: parameters, in place, by their loss on a batch. `work`: of one run on a batch, in statements."""

    parameters: Sequence[Tensor]
    loss: Callable[[Part], Tensor]
    work: int


def descend(optimiser: torch.optim.Optimizer, loss: Callable[[Part], Tensor], parts: Sequence[Part]) -> None:
    """One step down the sum of the losses of some parts."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad()
    for gradients in in_order(lambda part: torch.autograd.grad(loss(part), parameters, allow_unused=True), parts):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    optimiser.step()


def adam(objective: Objective[Batch], oracle: Oracle, schedule: Schedule, budget: Budget) -> None:
    """Fits the parameters to the model's predictions."""
    adam_on(objective, lambda rng: oracle.draw(rng, schedule.how.targets, schedule.long), schedule, budget)


def adam_on(objective: Objective[Part], draw: Callable[[np.random.Generator], Sequence[Part]], schedule: Schedule, budget: Budget) -> None:
    """Fits the parameters to what is drawn for each step."""
    how, rate = schedule.how, schedule.rate
    optimiser = torch.optim.Adam(list(objective.parameters), lr=rate, eps=how.epsilon)
    rng = np.random.default_rng([schedule.seed, Stream.FIT])
    for step in range(how.steps):
        budget.check()
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (how.steps - step) / how.steps)
        parts = draw(rng)
        descend(optimiser, objective.loss, parts)
        budget.charge(objective.work * len(parts), gradients=True)
