"""Much at once: the lowest-ranked parts of a program removed together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.attribution import attribution
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.refit import refit
from drasp.passes.removals import complexity
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import AblationPoint


def cut_by_rank(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Ranks ablation points by gradient attribution and ablates the lowest together, as many as match bears; again, until few can go."""
    while True:
        found = attribution(program, oracle, budget)
        ranking = _Ranking(sorted(found, key=lambda point: found[point]), mean_values(program, oracle, budget))
        smaller = yield from _cut(program, ranking, aim)
        if smaller is None:
            smaller = yield from _cut_refitted(program, ranking, oracle, aim, budget)
        if smaller is None:
            return program
        program = smaller
        yield Found(program)


@dataclass(frozen=True)
class _Ranking:
    """The ablation points of a program from the least, and the means that replace them."""

    points: Sequence[AblationPoint]
    means: Mapping[AblationPoint, np.ndarray]

    def cuts(self, program: Program, shares: Sequence[float]) -> Iterator[tuple[Program, str]]:
        """The program without ever smaller shares of the lowest points."""
        for share in shares:
            count = int(share * len(self.points))
            if count < 2:
                return
            yield (
                ablate(program, Ablation(dict.fromkeys(self.points[:count], 0.0), self.means)),
                f"without {count} of {len(self.points)} parts",
            )


def _cut(program: Program, ranking: _Ranking, aim: Aim) -> Steps[Program | None]:
    """The program without the largest share of the lowest-ranked points that match bears; None where it bears none."""
    for smaller, trying in ranking.cuts(program, aim.prune.shares):
        match = yield Trial(smaller, trying, aim.threshold)
        if match >= aim.threshold and complexity(smaller, aim.prune) < complexity(program, aim.prune):
            return smaller
    return None


def _cut_refitted(program: Program, ranking: _Ranking, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The same, each refitted."""
    for smaller, trying in ranking.cuts(program, aim.prune.refitted_shares):
        fitted, match = yield from refit(smaller, f"{trying}, refitted", oracle, aim, budget)
        if match >= aim.threshold and complexity(fitted, aim.prune) < complexity(program, aim.prune):
            return fitted
    return None
