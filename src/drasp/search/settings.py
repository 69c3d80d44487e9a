"""What is asked for, and the numbers that steer the search."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import index
from typing import Any, get_args

from drasp.core.budget import LONGEST, BudgetTuning
from drasp.core.intervals import USUAL_LENGTHS
from drasp.core.tuning import knob
from drasp.errors import DraspError
from drasp.evidence.conventions import ConventionTuning
from drasp.evidence.gather import EvidenceTuning
from drasp.evidence.kind import Level
from drasp.learn.tuning import LINEAR_REFIT, CircuitTuning, PoolTuning, PruneTuning, RefitTuning
from drasp.model.modes import device_named
from drasp.naming.tuning import NamesTuning, NamingTuning
from drasp.search.frontier import FrontierTuning


@dataclass(frozen=True)
class Settings:
    """What is asked for; the fields are the flags of `drasp decompile`.

    Attributes:
        match: share of sequences, in the worst length band, on which the program must predict what the model predicts.
        least: share of sequences of all lengths together; a program in symbols that matches so much ends the search, even if that is less
            than `match`. 1 makes it go on until one matches as asked, or time is up.
        statements, numbers: the most of each that a decompiled program may have.
        lengths: of the sequences that are sampled, both ends included.
        seed: of everything random.
        device: "auto", or a torch device.
        time: seconds at the most, the evidence included.
        work: instead of a time, how many statements may be run on batches of sequences: the same result on every machine.
        evidence: "quick" leaves out what is slow: off the task, the whole language; "verdict" all but what the verdict hangs on.

    Raises:
        DraspError: one of these cannot be; it says which, and what can.
    """

    match: float = 0.99
    least: float = 0.9
    statements: int = 30
    numbers: int = 60
    lengths: tuple[int, int] = USUAL_LENGTHS
    seed: int = 0
    device: str = "auto"
    time: float = 600.0
    work: int | None = None
    evidence: Level = "full"

    def __post_init__(self) -> None:
        self._check("match", _number, lambda value: 0 < value <= 1, "a share above 0 and up to 1, like 0.99")
        self._check("least", _number, lambda value: 0 <= value <= 1, "a share from 0 to 1, like 0.9")
        for name in ("statements", "numbers"):
            self._check(name, _whole, lambda value: value > 0, "a whole number from 1 on")
        self._check("lengths", _pair, lambda value: 0 <= value[0] <= value[1], "two whole numbers from 0 on, the smaller one first")
        self._check("seed", _whole, lambda value: 0 <= value < 1 << 63, "a whole number from 0 to below 2**63")
        self._check("device", _device, bool, "auto, cpu or a GPU that is there, like cuda")
        self._check("time", _number, lambda value: 0 < value <= LONGEST, f"seconds above 0 and up to {LONGEST:.0e}, like 600.0")
        if self.work is not None:
            self._check("work", _whole, lambda value: value > 0, "None or a whole number from 1 on")
        self._check("evidence", str, lambda value: value in get_args(Level), "full, quick or verdict")

    def _check(self, name: str, read: Callable[[Any], Any], holds: Callable[[Any], bool], expected: str) -> None:
        given = getattr(self, name)
        try:
            value = read(given)
            good = holds(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            good = False
        if not good:
            raise DraspError(f"Settings: {name} must be {expected}, not {given!r}")
        object.__setattr__(self, name, value)


def _whole(given: Any) -> int:
    if isinstance(given, bool):
        raise TypeError
    return index(given)


def _number(given: Any) -> float:
    if isinstance(given, bool | str):
        raise TypeError
    return float(given)


def _pair(given: Any) -> tuple[int, int]:
    low, high = given
    return _whole(low), _whole(high)


def _device(given: Any) -> str:
    return "auto" if given == "auto" else str(device_named(given))


@dataclass(frozen=True)
class ChoiceTuning:
    """How the result is chosen among the candidates."""

    select_margin: float = knob(0.5, unit="of what is left to 1: at the most so much more match on select", origin="chosen")
    verify_margin: float = knob(0.4, unit="the same, on verify", origin="chosen")
    interrupted: float = knob(5.0, unit="seconds for the evidence of a search that a person interrupted", origin="chosen: a person waits")
    lifted: int = knob(400, unit="statements at the most, expanded, of the model that an interrupted search leaves", origin="chosen: 3 s")
    named: int = knob(200, unit="statements at the most of a program that is worth the time of naming", origin="chosen")


@dataclass(frozen=True)
class TidyTuning:
    """What variables are called."""

    aside: float = knob(
        0.05, unit="share of the weight that attention to the previous position may give to all the others together", origin="chosen"
    )


@dataclass(frozen=True)
class Tuning:
    """Every number that steers a run, by stage."""

    budget: BudgetTuning = field(default_factory=BudgetTuning)
    conventions: ConventionTuning = field(default_factory=ConventionTuning)
    pools: PoolTuning = field(default_factory=PoolTuning)
    linear_refit: RefitTuning = LINEAR_REFIT
    exact_refit: RefitTuning = field(default_factory=RefitTuning)
    circuit: CircuitTuning = field(default_factory=CircuitTuning)
    prune: PruneTuning = field(default_factory=PruneTuning)
    names: NamesTuning = field(default_factory=NamesTuning)
    naming: NamingTuning = field(default_factory=NamingTuning)
    choice: ChoiceTuning = field(default_factory=ChoiceTuning)
    frontier: FrontierTuning = field(default_factory=FrontierTuning)
    tidy: TidyTuning = field(default_factory=TidyTuning)
    evidence: EvidenceTuning = field(default_factory=EvidenceTuning)
