"""How removals are tried: many at once, fewer where that fails, and not for ever."""

from dataclasses import dataclass

from drasp.learn.delta import in_chunks
from drasp.learn.trial import Trial
from drasp.learn.tuning import PruneTuning
from driving import drive

FAILURES = PruneTuning().sweep_failures


@dataclass(frozen=True)
class Left:
    """What is left of some numbers."""

    numbers: frozenset[int]

    @property
    def digest(self):
        return repr(sorted(self.numbers))


def removing(start, order, needed):
    """What is left, and what was tried, where some numbers are needed."""

    def without(current, items):
        smaller = current.numbers - set(items)
        return Left(smaller) if len(smaller) < len(current.numbers) else None

    def keeps(smaller):
        return (yield Trial(smaller, "fewer")) >= 1

    steps = in_chunks(Left(frozenset(start)), order, without, keeps, FAILURES)
    result, trials, _ = drive(steps, lambda trial: float(needed <= trial.candidate.numbers))
    return None if result is None else result.numbers, trials


def test_all_that_is_not_needed_goes():
    needed = frozenset({3, 11, 17})
    assert removing(range(20), range(20), needed)[0] == needed


def test_much_goes_at_once():
    left, tried = removing(range(100), range(100), frozenset())
    assert left == frozenset()
    assert len(tried) <= 3


def test_where_nothing_can_go_there_is_none_and_it_is_not_tried_for_ever():
    left, tried = removing(range(100), range(100), frozenset(range(100)))
    assert left is None
    assert len(tried) <= FAILURES + 6  # chunks of 50, 25, 12, 6, 3 and 1


def test_what_makes_nothing_simpler_is_no_failure():
    assert removing(range(2), [*range(5, 50), 1], frozenset({0}))[0] == frozenset({0})


def test_what_makes_nothing_simpler_is_not_measured():
    _, tried = removing(range(2), [*range(5, 50), 1], frozenset({0}))
    assert [trial.candidate.numbers for trial in tried] == [frozenset({0})]
