"""What every learning pass sees: the model's predictions on fixed pools of sequences, and how a program compares with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from drasp.frontier import Frontier
from drasp.ir.program import Program
from drasp.journal import Journal
from drasp.learn.evaluation import task_bands
from drasp.passes.pools import Batch, Pool, Subject, closest_batches, make_batches, margins
from drasp.run.gated import Executor
from drasp.run.parallel import in_order
from drasp.tasks.protocol import Task

Draw = Callable[[Subject, np.random.Generator, int, tuple[int, int], int, int], list[Batch]]
Targets = Literal["hard", "soft", "margins"]
"""What is fitted: the model's predictions by cross entropy, its probabilities, or the margins by which it decides, up to `MARGIN`. What
starts out exact keeps to the second and third; margins say nothing where the prediction is safe, and so are what match asks for.
"""

SELECTED, VERIFIED = 1600, 4000  # sequences drawn of each band, to choose by and to verify the choice on
VERIFIED_REST = 6  # of the latter, every so many of those on which the model does not decide closely are kept
FITTED_SHORT, FITTED_LONG = 1200, 1600  # sequences drawn to fit on, of the first band and of all lengths
MARGIN = 1.0  # of logits, beyond which a prediction is safe


@dataclass
class Context:
    """The model, its task, and the pools of sequences drawn from the seed.

    Attributes:
        short, long: batches to fit on, of short sequences and of all lengths.
        select: to choose by.
        verify: larger, for the final choice.
        report: told what is being tried, and on which program; raises KeyboardInterrupt or TimeIsUp to stop the search.
        check_time: called within whatever takes long; raises TimeIsUp to stop the search.
        found: told of every program that keeps match and is smaller than the last.
        journal: what is expensive is asked through it, so that a run that was killed goes on.
        frontier: told of every program whose match is measured.
    """

    task: Task
    device: torch.device
    short: list[Batch]
    long: list[Batch]
    select: Pool
    verify: Pool
    band_count: int
    seed: int
    report: Callable[[str, Program | None], None]
    check_time: Callable[[], None]
    found: Callable[[Program], None]
    journal: Journal = field(default_factory=Journal)
    frontier: Frontier = field(default_factory=Frontier)

    @property
    def sample(self) -> list[Batch]:
        """Some of the batches to fit on, for means and gradients."""
        return self.short[::8] + self.long[::24]

    def draw(self, rng: np.random.Generator, targets: Targets, long: int = 1) -> list[Batch]:
        """The batches of one fitting step: lengths are mixed, or the constants would follow those of the last batch.

        Soft targets and margins say more than hard ones, so that fewer sequences will do. `long`: how many batches of all lengths.
        """
        short = rng.integers(len(self.short), size=2 if targets == "hard" else 1)
        return [self.short[i] for i in short] + [self.long[i] for i in rng.integers(len(self.long), size=long)]

    def loss(self, found: Tensor, batch: Batch, targets: Targets) -> Tensor:
        """The loss of each scored position for logits (scored positions, vocabulary), in nats, or for margins in shares of `MARGIN`."""
        if targets == "margins":
            wanted = margins(batch.model_logits, batch.model_logits, self.task).clamp(max=MARGIN)
            return (wanted - margins(found, batch.model_logits, self.task)).clamp(min=0).sum(-1) / MARGIN
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

    def match(self, program: Program, pool: Pool, at_least: float = 0.0) -> float:
        """Match in the worst band. Where it must fall below `at_least`, the count stops and what is returned is an upper bound."""

        def ask() -> tuple[float, list[int]]:
            executor = Executor(program, self.device)
            return self._share(lambda batch: executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored), pool, at_least)

        match = self._counted(ask, pool)
        if match >= at_least:
            self.frontier.add(program, match, pool.name)
        return match

    def share(self, scored_logits: Callable[[Batch], Tensor], pool: Pool, at_least: float = 0.0) -> float:
        """As `match`, for anything that gives logits (scored positions, vocabulary)."""
        return self._counted(lambda: self._share(scored_logits, pool, at_least), pool)

    def _counted(self, ask: Callable[[], tuple[float, list[int]]], pool: Pool) -> float:
        match, misses = self.journal.once("match", ask)
        if misses:
            pool.misses = misses
        return match

    def _share(self, scored_logits: Callable[[Batch], Tensor], pool: Pool, at_least: float) -> tuple[float, list[int]]:
        """The match, and the sequences missed of each batch; none where the count stopped."""
        totals, wrong = [0] * self.band_count, [0] * self.band_count
        for batch in pool.batches:
            totals[batch.band] += batch.weight * batch.sequences

        @torch.no_grad()
        def missed(place: int) -> int:
            batch = pool.batches[place]
            return int((~self.matches(scored_logits(batch), batch)).sum())

        order = sorted(range(len(pool.batches)), key=lambda place: -pool.misses[place])
        misses = [0] * len(pool.batches)
        for place, count in zip(order, in_order(missed, order), strict=True):
            self.check_time()
            band = pool.batches[place].band
            misses[place] = count
            wrong[band] += pool.batches[place].weight * count
            if 1 - wrong[band] / totals[band] < at_least:
                misses = []
                break
        return min(1 - w / t for w, t in zip(wrong, totals, strict=True)), misses


def make_context(
    subject: Subject,
    lengths: tuple[int, int],
    seed: int,
    report: Callable[[str, Program | None], None],
    check_time: Callable[[], None],
    found: Callable[[Program], None],
    journal: Journal | None = None,
    frontier: Frontier | None = None,
) -> Context:
    """Draws the pools. Every pool has a generator of its own, so that one's size does not change another.

    `report` is told before each of them, and may stop the drawing as it may stop the search.
    """
    cut = task_bands(subject.task, lengths)

    def drawn(how: Draw, stream: int, count: int, low_high: tuple[int, int], band: int, most: int) -> list[Batch]:
        report("", None)
        return how(subject, np.random.default_rng([seed, stream, band + 1]), count, low_high, band, most)

    verifying = partial(closest_batches, rest_every=VERIFIED_REST)
    short = drawn(make_batches, 1, FITTED_SHORT, cut[0], -1, 32)
    long = drawn(closest_batches, 2, FITTED_LONG, lengths, -1, 8)
    select = [b for band, part in enumerate(cut) for b in drawn(closest_batches, 3, SELECTED, part, band, 100)]
    verify = [b for band, part in enumerate(cut) for b in drawn(verifying, 4, VERIFIED, part, band, 250)]
    return Context(
        subject.task,
        subject.device,
        short,
        long,
        Pool.of("select", select[::-1]),
        Pool.of("verify", verify[::-1]),
        len(cut),
        seed,
        report,
        check_time,
        found,
        journal or Journal(),
        frontier or Frontier(),
    )
