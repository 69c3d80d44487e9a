"""What every learning pass sees: the model's predictions on fixed pools of sequences, and how a program compares with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from drasp.frontier import Frontier
from drasp.ir.program import Program
from drasp.journal import Journal
from drasp.measure import task_bands
from drasp.run.gated import Executor
from drasp.run.parallel import in_order
from drasp.tasks.protocol import Task
from drasp.tasks.user import checked_sample

Oracle = Callable[[Tensor, Tensor], Tensor]
Targets = Literal["hard", "soft"]

SELECTED, VERIFIED = 400, 2000  # sequences of each band, to choose by and to verify the choice on
CELLS_PER_BATCH = 1 << 20  # query-key pairs in one batch: some 30 MB a selector while gradients are kept


@dataclass(frozen=True)
class Batch:
    """Sequences of similar length with the model's answers.

    Attributes:
        token_ids, position_ids: (batch, time).  scored: (batch, time) booleans.
        rows: (scored positions), the sequence each scored position belongs to.
        model_logits: (scored positions, vocabulary).
        band: which length band, or -1.
    """

    token_ids: Tensor
    position_ids: Tensor
    scored: Tensor
    rows: Tensor
    model_logits: Tensor
    band: int

    @property
    def sequences(self) -> int:
        return self.token_ids.shape[0]


@dataclass
class Context:
    """The model, its task, and the pools of sequences drawn from the seed.

    Attributes:
        short, long: batches to fit on, of short sequences and of all lengths.
        select: batches to choose by, each within one band.
        verify: larger than `select`, for the final choice.
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
    select: list[Batch]
    verify: list[Batch]
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
        return self.short[::8] + self.long[::9]

    def draw(self, rng: np.random.Generator, targets: Targets) -> list[Batch]:
        """The batches of one fitting step: lengths are mixed, or the constants would follow those of the last batch.

        Soft targets say more than hard ones, so that fewer sequences will do.
        """
        short = rng.integers(len(self.short), size=1 if targets == "soft" else 2)
        return [self.short[i] for i in short] + [self.long[rng.integers(len(self.long))]]

    def loss(self, logits: Tensor, batch: Batch, targets: Targets) -> Tensor:
        """The loss of each scored position, (scored positions), for logits (batch, time, vocabulary)."""
        return self.scored_loss(logits[batch.scored], batch, targets)

    def scored_loss(self, found: Tensor, batch: Batch, targets: Targets) -> Tensor:
        """For logits (scored positions, vocabulary): cross entropy to the model's prediction or to its probabilities."""
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

    def match(self, program: Program, batches: Sequence[Batch], at_least: float = 0.0) -> float:
        """Match in the worst band. Where it must fall below `at_least`, the count stops and what is returned is an upper bound."""

        def ask() -> float:
            executor = Executor(program, self.device)
            return self._share(lambda batch: executor.logits(batch.token_ids, batch.position_ids)[batch.scored], batches, at_least)

        match = self.journal.once("match", ask)
        if match >= at_least:
            self.frontier.add(program, match, "verify" if batches is self.verify else "select")
        return match

    def share(self, scored_logits: Callable[[Batch], Tensor], batches: Sequence[Batch], at_least: float = 0.0) -> float:
        """As `match`, for anything that gives logits (scored positions, vocabulary)."""
        return self.journal.once("match", lambda: self._share(scored_logits, batches, at_least))

    def _share(self, scored_logits: Callable[[Batch], Tensor], batches: Sequence[Batch], at_least: float) -> float:
        totals = [0] * self.band_count
        for batch in batches:
            totals[batch.band] += batch.sequences
        wrong = [0] * self.band_count

        @torch.no_grad()
        def missed(batch: Batch) -> int:
            return int((~self.matches(scored_logits(batch), batch)).sum())

        for batch, misses in zip(batches, in_order(missed, batches), strict=True):
            self.check_time()
            wrong[batch.band] += misses
            if 1 - wrong[batch.band] / totals[batch.band] < at_least:
                break
        return min(1 - w / t for w, t in zip(wrong, totals, strict=True))


def make_batches(
    task: Task, oracle: Oracle, rng: np.random.Generator, count: int, lengths: tuple[int, int], band: int, device: torch.device, most: int
) -> list[Batch]:
    """`count` fresh sequences, sorted by length and cut into batches of at most `most`, with the model's logits."""
    sample = checked_sample(task, rng, count, lengths)
    last = sample.scored.shape[1] - 1 - sample.scored[:, ::-1].argmax(1)
    order = np.argsort(last, kind="stable")
    parts = []
    start = 0
    while start < count:
        size = most
        while size > 1 and size * (last[order[min(start + size, count) - 1]] + 1) ** 2 > CELLS_PER_BATCH:
            size = size * 3 // 4
        parts.append(order[start : start + size])
        start += size

    def batch(chosen: np.ndarray) -> Batch:
        width = int(last[chosen].max()) + 1
        token_ids, position_ids, scored = (torch.from_numpy(array[chosen, :width].copy()).to(device) for array in sample)
        with torch.no_grad():
            logits = oracle(token_ids, position_ids)[scored].float()
        return Batch(token_ids, position_ids, scored, scored.nonzero()[:, 0], logits, band)

    return list(in_order(batch, parts))


def make_context(
    task: Task,
    oracle: Oracle,
    lengths: tuple[int, int],
    seed: int,
    device: torch.device,
    report: Callable[[str, Program | None], None],
    check_time: Callable[[], None],
    found: Callable[[Program], None],
    journal: Journal | None = None,
    frontier: Frontier | None = None,
) -> Context:
    """Draws the pools. Every pool has a generator of its own, so that one's size does not change another.

    `report` is told before each of them, and may stop the drawing as it may stop the search.
    """
    cut = task_bands(task, lengths)

    def pool(stream: int, count: int, low_high: tuple[int, int], band: int, most: int) -> list[Batch]:
        report("", None)
        return make_batches(task, oracle, np.random.default_rng([seed, stream, band + 1]), count, low_high, band, device, most)

    short = pool(1, 1200, cut[0], -1, 32)
    long = pool(2, 320, lengths, -1, 8)
    select = [b for band, part in enumerate(cut) for b in pool(3, SELECTED, part, band, 100)]
    verify = [b for band, part in enumerate(cut) for b in pool(4, VERIFIED, part, band, 250)]
    return Context(
        task,
        device,
        short,
        long,
        select[::-1],
        verify[::-1],
        len(cut),
        seed,
        report,
        check_time,
        found,
        journal or Journal(),
        frontier or Frontier(),
    )
