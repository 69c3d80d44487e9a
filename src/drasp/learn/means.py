"""Mean ablation: what is ablated is replaced by its mean over sequences (as in Wang et al., "Interpretability in the wild", 2022)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.parallel import in_order
from drasp.ir.nodes import ONE_READ, Aggregate, Select
from drasp.ir.program import Program, feeds_attention
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.run.gated import AblationPoint, Executor


def mean_values(program: Program, oracle: Oracle, budget: Budget) -> dict[AblationPoint, np.ndarray]:
    """What replaces each point when it is ablated: its mean over the oracle's sample.

    A projection and what only feeds the output is averaged over the scored positions, the rest over all. A division gets 1/n by the
    coordinate of the variable it divides where that is one-hot (the overall mean where a coordinate never came up), and a scalar elsewhere
    and in projections. A selector needs none: a constant score is no score; nor does what reads `one`, which is its own mean.
    """
    totals: dict[AblationPoint, Tensor] = {}
    counts: dict[AblationPoint, Tensor] = {}
    sums = _Sums(program, oracle.device)
    for found in in_order(sums.of, oracle.sample, budget):
        budget.check()
        budget.charge(len(program.statements))
        for point, (total, count) in found.items():
            totals[point] = totals.get(point, torch.zeros_like(total)) + total
            counts[point] = counts.get(point, torch.zeros_like(count)) + count
    means = {}
    for point, total in totals.items():
        overall = total.sum() / counts[point].sum() if point.part == "division" else total
        means[point] = torch.where(counts[point] > 0, total / counts[point].clamp(min=1), overall).double().cpu().numpy()
    return means


class _Sums:
    """Sums and counts of what each ablation point of a program adds."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program, self.device = program, device
        self.executor = Executor(program, device)
        self.feeding = feeds_attention(program)
        self.sizes = {name: basis.size for name, basis in program.bases.items()}

    @torch.no_grad()
    def of(self, batch: Batch) -> dict[AblationPoint, tuple[Tensor, Tensor]]:
        found: dict[AblationPoint, tuple[Tensor, Tensor]] = {}
        real = torch.as_tensor(batch.sample.real(self.program.header.bidirectional), device=self.device)

        def observe(point: AblationPoint, value: Tensor, ids: Tensor | None) -> None:
            statement = self.program.by_name[point.statement]
            if point.part == "total":
                return
            if point.part != "division" and (isinstance(statement, Select) or statement.reads[point.slot] == ONE_READ):
                return
            where = real if isinstance(statement, Select | Aggregate) or point.statement in self.feeding else batch.scored
            if point.part == "division":
                found[point] = self._by_coordinate(statement.reads[point.slot].variable, value[where], None if ids is None else ids[where])
            else:
                value = value.expand(*where.shape, -1)[where]
                found[point] = value.sum(0), torch.tensor(float(len(value)), device=self.device)

        self.executor.logits(batch.token_ids, batch.position_ids, observe=observe)
        return found

    def _by_coordinate(self, variable: str, value: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum and count of a divisor's inverse for each coordinate of a one-hot variable; else one of each."""
        size = self.sizes[variable] if ids is not None else 1
        index = ids if ids is not None else torch.zeros(len(value), dtype=torch.long, device=self.device)
        total, count = (torch.zeros(size, device=self.device) for _ in range(2))
        return total.index_add_(0, index, value), count.index_add_(0, index, torch.ones_like(value))


def as_tensors(arrays: Mapping[AblationPoint, np.ndarray], oracle: Oracle) -> dict[AblationPoint, Tensor]:
    return {point: torch.tensor(array, dtype=torch.float32, device=oracle.device) for point, array in arrays.items()}
