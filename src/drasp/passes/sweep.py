"""What can go without a refit."""

from collections.abc import Sequence

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.delta import in_chunks
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.removals import Left, Removal, by_loss, describe


def sweep(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes, in the order of what each removal is worth, all that match bears without a refit; until nothing can."""
    left = Left(program, oracle, aim, budget)
    while True:
        smaller = yield from swept(left, by_loss(left))
        if smaller is None:
            return left.program
        left = smaller


def swept(left: Left, order: Sequence[Removal]) -> Steps[Left | None]:
    """What is left without those of some removals that need no refit; None if there is none."""
    threshold, trying = left.aim.threshold, ""

    def removed(_: Program, removals: Sequence[Removal]) -> Program | None:
        nonlocal trying
        trying = describe(removals)
        smaller = left.without(removals)
        return smaller if left.simpler(smaller) else None

    def keeps(smaller: Program) -> Steps[bool]:
        nonlocal left
        if (yield Trial(smaller, trying, threshold)) < threshold:
            return False
        yield Found(smaller)
        left = left.now(smaller)
        return True

    found = yield from in_chunks(left.program, order, removed, keeps, left.aim.prune.sweep_failures)
    return None if found is None else left
