"""Which of the candidates is the result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

from drasp.core.budget import Budget, OutOfBudget
from drasp.ir.program import Program
from drasp.learn.adam import Schedule
from drasp.learn.fit import fit
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Doing, Steps, Trial
from drasp.learn.tuning import PruneTuning
from drasp.passes.aim import Aim
from drasp.passes.removals import complexity


@dataclass(frozen=True)
class Candidate:
    """A program that kept the match its stage asked for.

    Attributes:
        loose: whether that was less than what was asked of the run.
    """

    program: Program
    loose: bool


def eligible(candidates: Sequence[Candidate]) -> list[Program]:
    """What only matches loosely is a candidate where the search found nothing after it."""
    strict = not candidates[-1].loose
    return [c.program for c in candidates if not (strict and c.loose)]


@dataclass
class Choice:
    """The choice among candidates, as far as it has got.

    Attributes:
        candidates: by complexity.
        last: the place of the one that the search found last: most often it is the smallest.
        wanted: match on sequences that no choice was made by.
        verified: that match, by place.
    """

    candidates: list[Program]
    last: int
    wanted: float
    sequences: int
    verified: dict[int, float] = field(default_factory=dict)

    @classmethod
    def among(cls, found: Sequence[Program], wanted: float, sequences: int, tuning: PruneTuning) -> "Choice":
        """Between programs in the order in which they were found; `sequences`: of a band on which they are verified."""
        order = sorted(range(len(found)), key=lambda i: complexity(found[i], tuning))
        return cls([found[i] for i in order], order.index(len(found) - 1), wanted, sequences)

    def good_enough(self) -> float:
        """The best match so far, less a standard error."""
        best = max(self.verified.values(), default=0.0)
        return best - sqrt(best * (1 - best) / self.sequences)

    def holds(self, place: int) -> Steps[bool]:
        if place not in self.verified:
            at_least = min(self.wanted, self.good_enough())
            self.verified[place] = yield Trial(self.candidates[place], "on further sequences", at_least, "verify")
        return self.verified[place] >= self.wanted

    def picked(self, fallback: Program | None = None) -> Program:
        """The smallest candidate that holds; else the smallest as good as the best, within one standard error.

        Args:
            fallback: of a choice that was cut short: what says too little to be the result where more was found.
        """
        for wanted in (self.wanted, self.good_enough()):
            for place in sorted(self.verified):
                if self.verified[place] >= wanted and self.candidates[place] is not fallback:
                    return self.candidates[place]
        return self.candidates[self.last]


def by_bisection(choice: Choice, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program]:
    """Verifies the last candidate first; where it falls short, as lines were removed up to the edge of what match bears, it is fitted once
    more. Then by bisection, as a short time may not do for all of them, then whatever smaller one was passed over.
    """
    yield from _last(choice, oracle, aim, budget)
    low, middle, high = 0, choice.last, len(choice.candidates)
    while low < high:
        if (yield from choice.holds(middle)):
            high = middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    for place in range(high):
        if place not in choice.verified and (yield from choice.holds(place)):
            break
    return choice.picked()


def _last(choice: Choice, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[None]:
    """The last candidate, refitted where it falls a little short, unless that makes it worse or takes over half of what is left."""
    last = choice.last
    if (yield from choice.holds(last)) or choice.verified[last] < choice.wanted - aim.refit.hopeless:
        return
    plain, match = choice.candidates[last], choice.verified[last]
    yield Doing("refitted", plain)
    how = replace(aim.refit, long=aim.refit.final_long)
    try:
        fitted = fit(plain, oracle, Schedule(how, how.rate, oracle.seed, how.long), budget.next(0.5))
    except OutOfBudget:
        oracle.journal.stopped(budget)
        return
    now = yield Trial(fitted, "on further sequences", pool="verify")
    if now >= match:
        choice.candidates[last], choice.verified[last] = fitted, now
