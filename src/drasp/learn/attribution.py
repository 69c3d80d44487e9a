"""Gradient attribution: how much each part of a program matters, without taking it away."""

import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.parallel import in_order
from drasp.ir.program import Program
from drasp.learn.means import as_tensors, mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.run.gated import AblationPoint, Executor, Mask, ablation_points


def attribution(program: Program, oracle: Oracle, budget: Budget) -> dict[AblationPoint, float]:
    """The mean over sequences of |d loss / d multiplier| at 1, for each ablation point.

    (After Michel, Levy and Neubig, "Are sixteen heads really better than one?", 2019.) The loss is the one to the model's hard
    predictions: that to its probabilities has no gradient where the program is exact.
    """
    every = ablation_points(program)
    batches = oracle.sample

    def ask() -> list[float]:
        executor = Executor(program, oracle.device)
        index = {point: i for i, point in enumerate(every)}
        means = as_tensors(mean_values(program, oracle, budget), oracle)

        def gradients(batch: Batch) -> Tensor:
            multipliers = torch.ones(batch.sequences, len(index), device=oracle.device, requires_grad=True)
            logits = executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored, Mask(index, multipliers, means))
            oracle.loss(logits, batch, "hard").sum().backward()
            assert multipliers.grad is not None
            return multipliers.grad.abs().sum(0)

        total = torch.zeros(len(index), device=oracle.device)
        for found in in_order(gradients, batches, budget):
            budget.check()
            budget.charge(len(program.statements), gradients=True)
            total += found
        return (total / sum(b.sequences for b in batches)).tolist()

    return dict(zip(every, oracle.journal.once("attribution", program.digest, ask, budget), strict=True))
