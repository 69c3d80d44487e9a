"""What can go without a refit."""

from collections.abc import Sequence

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.delta import in_chunks
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.removals import Removal, by_loss, complexity, describe, without


def sweep(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes, in the order of what each removal is worth, all that match bears without a refit; until nothing can."""
    while True:
        smaller = yield from swept(program, by_loss(program, oracle, aim, budget), oracle, aim, budget)
        if smaller is None:
            return program
        program = smaller


def swept(program: Program, order: Sequence[Removal], oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The program without those of some removals that need no refit; None if there is none."""
    means = mean_values(program, oracle, budget)
    trying = ""

    def removed(current: Program, removals: Sequence[Removal]) -> Program | None:
        nonlocal trying
        trying = describe(removals)
        smaller = without(current, frozenset(identity for removal in removals for identity in removal), means)
        return smaller if complexity(smaller, aim.prune) < complexity(current, aim.prune) else None

    def keeps(smaller: Program) -> Steps[bool]:
        nonlocal means
        if (yield Trial(smaller, trying, aim.threshold)) < aim.threshold:
            return False
        means = mean_values(smaller, oracle, budget)
        yield Found(smaller)
        return True

    return (yield from in_chunks(program, order, removed, keeps, aim.prune.sweep_failures))
