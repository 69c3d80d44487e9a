"""One thing after the other, until nothing more can go."""

from collections.abc import Sequence

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps
from drasp.passes.aim import Aim
from drasp.passes.refit import refit
from drasp.passes.removals import Left, Removal, by_loss, describe
from drasp.passes.sweep import swept


def eliminate(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes one thing after the other until every single removal, refitted, costs too much: the result is 1-minimal.

    What failed is put off, and tried again when nothing else is left to try.
    """
    failed: set[Removal] = set()
    left = Left(program, oracle, aim, budget)
    while True:
        order = by_loss(left)
        smaller = yield from swept(left, order)
        put_off = [removal for removal in order if removal in failed]
        if smaller is None:
            smaller = yield from _refitted(left, [r for r in order if r not in failed], failed)
        if smaller is None:
            smaller = yield from _refitted(left, put_off, failed)
        if smaller is None:
            return left.program
        left = smaller


def _refitted(left: Left, order: list[Removal], failed: set[Removal]) -> Steps[Left | None]:
    """What is left after the first removal that match bears with a refit; those that it does not bear are added to `failed`."""
    for count in left.aim.prune.together:  # several at once first, while there are many
        if len(order) >= 4 * count:
            smaller = yield from _without(left, order[:count])
            if smaller is not None:
                return smaller
    for removal in order:
        smaller = yield from _without(left, [removal])
        if smaller is not None:
            return smaller
        failed.add(removal)
    return None


def _without(left: Left, removals: Sequence[Removal]) -> Steps[Left | None]:
    """What is left without some removals, refitted; None where match does not bear it."""
    trying = f"{describe(removals)}, refitted"
    fitted, match = yield from refit(left.without(removals), trying, left.oracle, left.aim, left.budget)
    if match < left.aim.threshold or not left.simpler(fitted):
        return None
    yield Found(fitted)
    return left.now(fitted)
