"""Refits: the constants of a candidate fitted round by round, as long as that is promising."""

from collections.abc import Callable
from typing import TypeVar

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Circuit
from drasp.learn.fit import fit
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Steps, Trial
from drasp.passes.aim import Aim

Candidate = TypeVar("Candidate", Program, Circuit)


def in_rounds(
    start: Candidate, unfitted: float, again: Callable[[Candidate, int, float], Candidate], trying: str, aim: Aim
) -> Steps[tuple[Candidate, float]]:
    """Fits round by round: until match holds, is hopeless, or gets better too slowly for the rounds that are left. The best, and its match.

    Where the first round makes it worse, as it does what is all but exact, the next begins anew with smaller steps.

    Args:
        unfitted: the match of the start, or an upper bound where that is hopeless.
        again: from a candidate, the number of the round and the learning rate to the next candidate.
    """
    how = aim.refit
    best, best_match, rate = start, unfitted, how.rate
    for round_ in range(how.rounds):
        fitted = again(best, round_, rate)
        now = yield Trial(fitted, trying, aim.promising)
        gain = now - best_match
        if gain > 0:
            best, best_match = fitted, now
        else:
            rate *= how.smaller_steps
        needed = aim.threshold - best_match
        if needed <= 0 or needed > how.hopeless_refitted or (round_ > 0 and gain * (how.rounds - 1 - round_) < needed):
            break
    return best, best_match


def refit(program: Program, trying: str, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[tuple[Program, float]]:
    """The program with its constants fitted, as long as that is promising; and its match."""

    def again(last: Program, round_: int, rate: float) -> Program:
        return fit(last, oracle, Schedule(aim.refit, rate, oracle.seed + round_, aim.refit.long), budget)

    unfitted = yield Trial(program, trying, aim.promising)
    return (yield from in_rounds(program, unfitted, again, trying, aim))
