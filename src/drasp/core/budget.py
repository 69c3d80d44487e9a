"""The budget of a run: how much it may spend, and how much it has. Nothing else reads the clock, but for what a person is shown."""

import time
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from drasp.core.tuning import knob

Unit = Literal["seconds", "work"]
"""What is counted. Work is the same on every machine: a statement run on a batch of sequences is one, three where it is fitted."""

LONGEST = 1e9
"""Seconds that can be asked for, some thirty years."""


class OutOfBudget(BaseException):
    """A slice of the budget is spent. No `Exception`, so that code which guards against those of a user's task does not swallow it."""


@dataclass(frozen=True)
class BudgetTuning:
    """How work stands for seconds."""

    pace: float = knob(
        3000.0, unit="work counted as a second, where a slice is limited in seconds", origin="measured: D2 3,800, tomita4 3,100"
    )


@dataclass
class _Meter:
    """What a whole run has spent.

    Attributes:
        start: when it began, as `time.monotonic` tells it, less what an earlier process took.
        work: counted so far.
        replayed: what had been spent where a journal is answering; None once the run is live.
        checks: since the journal last answered. stop: which of them ends a slice, while it answers.
    """

    unit: Unit
    start: float
    work: float = 0.0
    replayed: float | None = None
    checks: int = 0
    stop: int | None = None

    def spent(self) -> float:
        if self.replayed is not None:
            return self.replayed
        return time.monotonic() - self.start if self.unit == "seconds" else self.work


@dataclass(frozen=True)
class Budget:
    """A limit on what a run spends, counted from its start. Slices nest: none ends later than what it was cut from.

    Attributes:
        limit: by when this slice ends, in seconds or work since the start of the run.
        whole: the limit of the whole run.
        pace: what counts as one second where a limit is given in seconds but work is counted.
    """

    limit: float
    whole: float
    pace: float = 1.0
    _meter: _Meter = field(default_factory=lambda: _Meter("seconds", time.monotonic()))

    @classmethod
    def of_seconds(cls, seconds: float = inf) -> "Budget":
        """The clock runs from now on."""
        return cls(seconds, seconds)

    @classmethod
    def of_work(cls, work: float, tuning: BudgetTuning = BudgetTuning()) -> "Budget":
        """Work is counted, so that whatever the machine the same is done."""
        return cls(work, work, tuning.pace, _Meter("work", time.monotonic()))

    @classmethod
    def of(cls, seconds: float, work: float | None, tuning: BudgetTuning = BudgetTuning()) -> "Budget":
        """Of work, where that is given; else of seconds."""
        return cls.of_seconds(seconds) if work is None else cls.of_work(work, tuning)

    @property
    def unit(self) -> Unit:
        return self._meter.unit

    def spent(self) -> float:
        """By the whole run so far, in the unit."""
        return self._meter.spent()

    def left(self) -> float:
        """Until this slice ends, 0 at the least, in the unit."""
        return max(0.0, self.limit - self.spent())

    def seconds(self) -> float:
        """Of the clock since the run began, whatever is counted: for records, never for decisions."""
        return time.monotonic() - self._meter.start

    def charge(self, work: float, gradients: bool = False) -> None:
        """Counts work that was done, three times where it was done with gradients; where seconds are counted they count themselves."""
        done = 3 * work if gradients else work
        self._meter.work += done
        if self._meter.replayed is not None and self.unit == "work":
            self._meter.replayed += done

    @property
    def checks(self) -> int:
        """How often it was checked since the journal last answered."""
        return self._meter.checks

    def check(self) -> None:
        """Raises OutOfBudget where this slice is spent; while a journal answers, where a slice was spent then."""
        meter = self._meter
        meter.checks += 1
        if self.spent() >= self.limit if meter.replayed is None else meter.checks == meter.stop:
            raise OutOfBudget

    def spend(self, work: float) -> None:
        """Counts work that was done. Raises OutOfBudget where the slice is spent."""
        self.charge(work)
        self.check()

    def until(self, share: float, seconds: float = inf) -> "Budget":
        """A slice that ends at a share of the whole run, and so many seconds after its start at the most."""
        return self.by(min(share * self.whole, seconds * self.pace))

    def next(self, share: float, seconds: float = inf) -> "Budget":
        """A slice of what is left: a share of it, so many seconds at the most."""
        return self.by(self.spent() + min(share * self.left(), seconds * self.pace))

    def by(self, limit: float) -> "Budget":
        """A slice that ends when the run has spent so much, in the unit."""
        return Budget(min(limit, self.limit), self.whole, self.pace, self._meter)

    def replay(self, spent: float | None, stop: int | None = None) -> None:
        """Where a journal answers, the run has spent what it had then; with None it is live again, and goes on from there.

        Args:
            stop: the check that ends a slice before the next answer, counted from this one.
        """
        if spent is None and self._meter.replayed is not None:
            self._meter.start = time.monotonic() - self._meter.replayed if self.unit == "seconds" else self._meter.start
            self._meter.work = self._meter.replayed if self.unit == "work" else self._meter.work
        self._meter.replayed, self._meter.checks, self._meter.stop = spent, 0, stop
