"""One thing after the other, until nothing more can go."""

from collections.abc import Mapping, Sequence

import numpy as np

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps
from drasp.passes.aim import Aim
from drasp.passes.refit import refit
from drasp.passes.removals import Removal, by_loss, complexity, describe, without
from drasp.passes.sweep import swept
from drasp.run.gated import AblationPoint


def eliminate(program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Removes one thing after the other until every single removal, refitted, costs too much: the result is 1-minimal.

    What failed is put off, and tried again when nothing else is left to try.
    """
    failed: set[Removal] = set()
    while True:
        order = by_loss(program, oracle, aim, budget)
        smaller = yield from swept(program, order, oracle, aim, budget)
        put_off = [removal for removal in order if removal in failed]
        if smaller is None:
            smaller = yield from _refitted(_Left(program, oracle, aim, budget), [r for r in order if r not in failed], failed)
        if smaller is None:
            smaller = yield from _refitted(_Left(program, oracle, aim, budget), put_off, failed)
        if smaller is None:
            return program
        program = smaller


class _Left:
    """What is left of a program, and what ablates its parts."""

    def __init__(self, program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> None:
        self.program, self.oracle, self.aim, self.budget = program, oracle, aim, budget
        self.means: Mapping[AblationPoint, np.ndarray] = mean_values(program, oracle, budget)

    def without(self, removals: Sequence[Removal]) -> Steps[Program | None]:
        """The program without some removals, refitted; None where match does not bear it."""
        together = frozenset(identity for removal in removals for identity in removal)
        smaller = without(self.program, together, self.means)
        fitted, match = yield from refit(smaller, f"{describe(removals)}, refitted", self.oracle, self.aim, self.budget)
        simpler = complexity(fitted, self.aim.prune) < complexity(self.program, self.aim.prune)
        if match < self.aim.threshold or not simpler:
            return None
        yield Found(fitted)
        return fitted


def _refitted(left: _Left, order: list[Removal], failed: set[Removal]) -> Steps[Program | None]:
    """The program after the first removal that match bears with a refit; those that it does not bear are added to `failed`."""
    for count in left.aim.prune.together:  # several at once first, while there are many
        if len(order) >= 4 * count:
            smaller = yield from left.without(order[:count])
            if smaller is not None:
                return smaller
    for removal in order:
        smaller = yield from left.without([removal])
        if smaller is not None:
            return smaller
        failed.add(removal)
    return None
