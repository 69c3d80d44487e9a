"""Two things that do not go one by one, but together: what one of them adds, the other takes away."""

from itertools import combinations

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.removals import Left, by_loss, describe


def eliminate_pairs(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes two things at once, without a refit, until no pair can go; of a small program alone, as pairs are many."""
    left = Left(program, oracle, aim, budget)
    while True:
        order = by_loss(left)
        smaller = None
        if len(order) <= aim.prune.paired:
            for pair in combinations(order, 2):
                candidate = left.without(pair)
                if not left.simpler(candidate):
                    continue
                if (yield Trial(candidate, describe(pair), aim.threshold)) >= aim.threshold:
                    smaller = candidate
                    break
        if smaller is None:
            return left.program
        yield Found(smaller)
        left = left.now(smaller)
