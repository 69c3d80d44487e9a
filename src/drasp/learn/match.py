"""Match on a pool of sequences: the share on which every scored prediction is the model's, in the worst length band or over all."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.parallel import in_order
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.trial import Trial

ScoredLogits = Callable[[Batch], Tensor]
"""Logits (scored positions, vocabulary) of a batch."""


class Matcher:
    """Counts matches on the pools.

    It remembers which batches the last candidate missed: they come first, as what falls short does so soon.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._pools = {"select": oracle.pools.select, "verify": oracle.pools.verify}
        self._misses = {name: [0] * len(pool) for name, pool in self._pools.items()}

    def match(self, trial: Trial, run: Callable[[], ScoredLogits], work: int, budget: Budget) -> float:
        """The match of a candidate. Where it must fall below what is asked at least, the count stops, and this is an upper bound.

        Args:
            run: makes the candidate ready to run. work: what a batch takes.
        """
        question = f"match on {trial.pool}, {trial.over}, {trial.at_least:.6f} at least, of"
        about = trial.candidate.digest
        match, misses = self._oracle.journal.once(question, about, lambda: self._count(trial, run(), work, budget), budget)
        if misses:
            self._misses[trial.pool] = misses
        return match

    def _count(self, trial: Trial, scored_logits: ScoredLogits, work: int, budget: Budget) -> tuple[float, list[int]]:
        """The match, and the sequences missed of each batch; none where the count stopped."""
        batches = self._pools[trial.pool]
        totals, wrong = [0] * self._oracle.pools.bands, [0] * self._oracle.pools.bands
        for batch in batches:
            totals[batch.band] += batch.weight * batch.sequences

        @torch.no_grad()
        def missed(place: int) -> int:
            batch = batches[place]
            return int((~self._oracle.matches(scored_logits(batch), batch)).sum())

        order = sorted(range(len(batches)), key=lambda place: -self._misses[trial.pool][place])
        misses = [0] * len(batches)
        for place, count in zip(order, in_order(missed, order, budget), strict=True):
            budget.check()
            budget.charge(work)
            band = batches[place].band
            misses[place] = count
            wrong[band] += batches[place].weight * count
            if self._match(wrong, totals, trial) < trial.at_least:
                misses = []
                break
        return self._match(wrong, totals, trial), misses

    @staticmethod
    def _match(wrong: Sequence[int], totals: Sequence[int], trial: Trial) -> float:
        """What of some sequences was not missed, over all bands alike or in the worst."""
        shares = [1 - w / t for w, t in zip(wrong, totals, strict=True)]
        return min(shares) if trial.over == "worst" else sum(shares) / len(shares)
