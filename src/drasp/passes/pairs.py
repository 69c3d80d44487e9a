"""Two things that do not go one by one, but together: what one of them adds, the other takes away."""

from itertools import combinations

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.removals import by_loss, complexity, describe, without


def eliminate_pairs(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes two things at once, without a refit, until no pair can go; of a small program alone, as pairs are many."""
    while True:
        order = by_loss(program, oracle, aim, budget)
        smaller = None
        if len(order) <= aim.prune.paired:
            means = mean_values(program, oracle, budget)
            for pair in combinations(order, 2):
                candidate = without(program, pair[0] | pair[1], means)
                if complexity(candidate, aim.prune) >= complexity(program, aim.prune):
                    continue
                if (yield Trial(candidate, describe(pair), aim.threshold)) >= aim.threshold:
                    smaller = candidate
                    break
        if smaller is None:
            return program
        program = smaller
        yield Found(program)
