"""The one Adam loop: parameters fitted to the model's predictions on batches drawn step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
class Objective:
    """What is fitted: parameters, in place, by their loss on a batch. `work`: of one run on a batch, in statements."""

    parameters: Sequence[Tensor]
    loss: Callable[[Batch], Tensor]
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


def adam(objective: Objective, oracle: Oracle, schedule: Schedule, budget: Budget) -> None:
    """Fits the parameters to the model's predictions."""
    how, rate = schedule.how, schedule.rate
    optimiser = torch.optim.Adam(list(objective.parameters), lr=rate, eps=how.epsilon)
    rng = np.random.default_rng([schedule.seed, Stream.FIT])
    for step in range(how.steps):
        budget.check()
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (how.steps - step) / how.steps)
        batches = oracle.draw(rng, how.targets, schedule.long)
        descend(optimiser, objective.loss, batches)
        budget.charge(objective.work * len(batches), gradients=True)
