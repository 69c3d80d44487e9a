"""What every learning pass sees: the model's predictions on fixed pools of sequences, and how close logits come to them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from drasp.core.journal import Journal
from drasp.learn.pools import Batch, Pools, Study, margins
from drasp.learn.tuning import PoolTuning, Targets
from drasp.tasks.protocol import Task


@dataclass(frozen=True)
class Oracle:
    """The model under study, the pools of sequences drawn from the seed, and the answers known so far.

    Attributes:
        journal: what is expensive is asked through its `once`, so that a run that was killed goes on.
    """

    study: Study
    pools: Pools
    seed: int
    tuning: PoolTuning
    journal: Journal

    @property
    def task(self) -> Task:
        return self.study.task

    @property
    def device(self) -> torch.device:
        return self.study.device

    @property
    def short(self) -> tuple[Batch, ...]:
        return self.pools.short

    @property
    def long(self) -> tuple[Batch, ...]:
        return self.pools.long

    @property
    def sample(self) -> list[Batch]:
        """Some of the batches to fit on, for means and gradients."""
        return [*self.short[:: self.tuning.short_sampled], *self.long[:: self.tuning.long_sampled]]

    def draw(self, rng: np.random.Generator, targets: Targets, long: int = 1) -> list[Batch]:
        """The batches of one fitting step: lengths are mixed, or the constants would follow those of the last batch.

        Soft targets and margins say more than hard ones, so that fewer sequences will do. `long`: how many batches of all lengths.
        """
        short = rng.integers(len(self.short), size=2 if targets == "hard" else 1)
        return [self.short[i] for i in short] + [self.long[i] for i in rng.integers(len(self.long), size=long)]

    def loss(self, found: Tensor, batch: Batch, targets: Targets) -> Tensor:
        """The loss of each scored position for logits (scored positions, vocabulary), in nats, or for margins in shares of the safe one."""
        if targets == "margins":
            safe = self.tuning.margin
            wanted = margins(batch.model_logits, batch.model_logits, self.task).clamp(max=safe)
            return (wanted - margins(found, batch.model_logits, self.task)).clamp(min=0).sum(-1) / safe
        if self.task.predict == "next-token":
            if targets == "hard":
                return torch.nn.functional.cross_entropy(found, batch.model_logits.argmax(-1), reduction="none")
            return torch.nn.functional.kl_div(
                found.log_softmax(-1), batch.model_logits.log_softmax(-1), log_target=True, reduction="none"
            ).sum(-1)
        wanted = (batch.model_logits > 0).to(found.dtype) if targets == "hard" else batch.model_logits.sigmoid()
        return torch.nn.functional.binary_cross_entropy_with_logits(found, wanted, reduction="none").sum(-1)

    def matches(self, found: Tensor, batch: Batch) -> Tensor:
        """For each sequence whether every scored prediction is the model's, (batch), for logits (scored positions, vocabulary)."""
        if self.task.predict == "next-token":
            same = found.argmax(-1) == batch.model_logits.argmax(-1)
        else:
            same = ((found > 0) == (batch.model_logits > 0)).all(-1)
        wrong = torch.zeros(batch.sequences, dtype=torch.long, device=found.device)
        wrong.index_add_(0, batch.rows, (~same).long())
        return wrong == 0
