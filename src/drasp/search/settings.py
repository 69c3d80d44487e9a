"""What is asked for, and the numbers that steer the search."""

from dataclasses import dataclass, field
from typing import Literal

from drasp.core.budget import BudgetTuning
from drasp.core.tuning import knob
from drasp.evidence.conventions import ConventionTuning
from drasp.evidence.gather import EvidenceTuning
from drasp.learn.tuning import LINEAR_REFIT, CircuitTuning, PoolTuning, PruneTuning, RefitTuning
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
        evidence: "quick" leaves out what is slow: off the task, the whole language.
    """

    match: float = 0.99
    least: float = 0.9
    statements: int = 30
    numbers: int = 60
    lengths: tuple[int, int] = (0, 150)
    seed: int = 0
    device: str = "auto"
    time: float = 600.0
    work: int | None = None
    evidence: Literal["full", "quick"] = "full"


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
