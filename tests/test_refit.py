"""Refits go on as long as that is promising."""

from dataclasses import dataclass, replace

import pytest

from drasp.learn.tuning import RefitTuning
from drasp.passes.aim import Aim
from drasp.passes.refit import in_rounds
from driving import drive

AIM = Aim(0.95, RefitTuning(rate=0.01, rounds=3, hopeless=0.1, hopeless_refitted=0.1))
SMALLER_STEPS = AIM.refit.smaller_steps


@dataclass(frozen=True)
class Matching:
    """A candidate whose match is known."""

    match: float

    @property
    def digest(self):
        return repr(self.match)


def fitted(start, results, log, aim=AIM):
    """The match of what `in_rounds` ends with, as it says and as it is, where fits give one match after the other."""
    left = iter(results)

    def again(last, round_, rate):
        log.append((last.match, round_, rate))
        return Matching(next(left))

    steps = in_rounds(Matching(start), start, again, "refitted", aim)
    (best, match), trials, _ = drive(steps, lambda trial: trial.candidate.match)
    assert all(trial.at_least == pytest.approx(aim.threshold - aim.refit.hopeless) for trial in trials)
    return best.match, match


def test_rounds_end_where_match_holds():
    log = []
    assert fitted(0.5, [0.9, 0.96], log) == (0.96, 0.96)
    assert log == [(0.5, 0, 0.01), (0.9, 1, 0.01)]


def test_what_a_fit_makes_worse_is_fitted_anew_with_smaller_steps():
    log = []
    assert fitted(0.94, [0.9, 0.951], log) == (0.951, 0.951)
    assert log == [(0.94, 0, 0.01), (0.94, 1, 0.01 * SMALLER_STEPS)]


def test_what_no_fit_makes_better_stays_as_it_was():
    assert fitted(0.94, [0.9, 0.91], []) == (0.94, 0.94)


def test_rounds_end_where_there_is_no_hope():
    log = []
    fitted(0.5, [0.6], log)  # more than 0.1 is missing
    fitted(0.5, [0.9, 0.91], log)  # 0.01 a round is too little for 0.04 in one round more
    assert len(log) == 3
    fitted(0.9, [0.91], log, replace(AIM, refit=replace(AIM.refit, hopeless_refitted=0.02)))  # more than 0.02 is missing after a refit
    assert len(log) == 4
