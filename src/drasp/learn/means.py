"""Mean ablation: what replaces a part of a program that is turned off is its mean over sequences."""

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
from drasp.run.gated import Executor, Site


def mean_values(program: Program, oracle: Oracle, budget: Budget) -> dict[Site, np.ndarray]:
    """What replaces each site when it is turned off: its mean over the oracle's sample.

    A projection and what only feeds the output is averaged over the scored positions, the rest over all. A division gets 1/n by the
    coordinate of the variable it divides where that is one-hot (the overall mean where a coordinate never came up), and a scalar elsewhere
    and in projections. A selector needs none: a constant score is no score; nor does what reads `one`, which is its own mean.
    """
    totals: dict[Site, Tensor] = {}
    counts: dict[Site, Tensor] = {}
    sums = _Sums(program, oracle.device)
    for found in in_order(sums.of, oracle.sample):
        budget.check()
        budget.charge(len(program.statements))
        for site, (total, count) in found.items():
            totals[site] = totals.get(site, torch.zeros_like(total)) + total
            counts[site] = counts.get(site, torch.zeros_like(count)) + count
    means = {}
    for site, total in totals.items():
        overall = total.sum() / counts[site].sum() if site.part == "division" else total
        means[site] = torch.where(counts[site] > 0, total / counts[site].clamp(min=1), overall).double().cpu().numpy()
    return means


class _Sums:
    """Sums and counts of what each site of a program adds."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program, self.device = program, device
        self.executor = Executor(program, device)
        self.feeding = feeds_attention(program)
        self.sizes = {name: basis.size for name, basis in program.bases.items()}

    @torch.no_grad()
    def of(self, batch: Batch) -> dict[Site, tuple[Tensor, Tensor]]:
        found: dict[Site, tuple[Tensor, Tensor]] = {}
        real = batch.scored.flip(1).cumsum(1).flip(1) > 0  # up to the last scored position: what comes after is not read

        def observe(site: Site, value: Tensor, ids: Tensor | None) -> None:
            statement = self.program.by_name[site.statement]
            if site.part == "total":
                return
            if site.part != "division" and (isinstance(statement, Select) or statement.reads[site.slot] == ONE_READ):
                return
            where = real if isinstance(statement, Select | Aggregate) or site.statement in self.feeding else batch.scored
            if site.part == "division":
                found[site] = self._by_coordinate(statement.reads[site.slot].variable, value[where], None if ids is None else ids[where])
            else:
                value = value.expand(*where.shape, -1)[where]
                found[site] = value.sum(0), torch.tensor(float(len(value)), device=self.device)

        self.executor.logits(batch.token_ids, batch.position_ids, observe=observe)
        return found

    def _by_coordinate(self, variable: str, value: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum and count of a divisor's inverse for each coordinate of a one-hot variable; else one of each."""
        size = self.sizes[variable] if ids is not None else 1
        index = ids if ids is not None else torch.zeros(len(value), dtype=torch.long, device=self.device)
        total, count = (torch.zeros(size, device=self.device) for _ in range(2))
        return total.index_add_(0, index, value), count.index_add_(0, index, torch.ones_like(value))


def as_tensors(arrays: Mapping[Site, np.ndarray], oracle: Oracle) -> dict[Site, Tensor]:
    return {site: torch.tensor(array, dtype=torch.float32, device=oracle.device) for site, array in arrays.items()}
