"""The one Adam loop: parameters fitted to the model's predictions on batches drawn step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

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


class Adam:
    """Parameters, each with its learning rate, and what Adam remembers of them (Kingma and Ba, 2015).

    `torch.optim.Adam` would do, but loads the compiler of torch where it is made: some seconds of every run.
    """

    def __init__(self, parameters: Sequence[Tensor], rates: Sequence[float], epsilon: float) -> None:
        self.parameters, self.rates, self.epsilon = parameters, rates, epsilon
        self._states = [(torch.zeros_like(p), torch.zeros_like(p), torch.zeros(())) for p in parameters]

    def descend(self, loss: Callable[[Part], Tensor], parts: Sequence[Part], share: float = 1.0) -> None:
        """One step down the sum of the losses of some parts, at a share of the learning rates."""
        totals: list[Tensor | None] = [None] * len(self.parameters)
        for gradients in in_order(lambda part: torch.autograd.grad(loss(part), self.parameters, allow_unused=True), parts):
            totals = [old if new is None else new if old is None else old + new for old, new in zip(totals, gradients, strict=True)]
        for parameter, rate, gradient, state in zip(self.parameters, self.rates, totals, self._states, strict=True):
            if gradient is not None:
                self._step(parameter, share * rate, gradient, state)

    @torch.no_grad()
    def _step(self, parameter: Tensor, rate: float, gradient: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> None:
        first, second, count = state
        torch_adam(
            *([parameter], [gradient], [first], [second], [], [count]),
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            eps=self.epsilon,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )


def adam(objective: Objective[Batch], oracle: Oracle, schedule: Schedule, budget: Budget) -> None:
    """Fits the parameters to the model's predictions."""
    adam_on(objective, lambda rng: oracle.draw(rng, schedule.how.targets, schedule.long), schedule, budget)


def adam_on(objective: Objective[Part], draw: Callable[[np.random.Generator], Sequence[Part]], schedule: Schedule, budget: Budget) -> None:
    """Fits the parameters to what is drawn for each step."""
    how = schedule.how
    optimiser = Adam(objective.parameters, [schedule.rate] * len(objective.parameters), how.epsilon)
    rng = np.random.default_rng([schedule.seed, Stream.FIT])
    for step in range(how.steps):
        budget.check()
        parts = draw(rng)
        optimiser.descend(objective.loss, parts, min(1.0, 2 * (how.steps - step) / how.steps))
        budget.charge(objective.work * len(parts), gradients=True)
