"""What a kind of evidence is, and what it is given to measure with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from drasp.core.budget import Budget
from drasp.core.tuning import knob
from drasp.ir.program import Program
from drasp.learn.evaluation import EvaluationSet, Examinee, Predictor, numpy_logits
from drasp.tasks.protocol import parts

if TYPE_CHECKING:
    from drasp.learn.pools import Study

T = TypeVar("T")

Level = Literal["full", "quick", "verdict"]
"""How much evidence is asked for: all, all but what is slow, what the verdict hangs on."""


@dataclass(frozen=True)
class Baseline(Generic[T]):
    """The same measured of what is trivial: the model's commonest prediction, and its commonest for each current token."""

    constant: T
    current_token: T


@dataclass(frozen=True)
class Row:
    """Something to be said of a program.

    Attributes:
        section: what it belongs to, like "match".
        label: what it is about, within the section; empty where that needs no name.
        statements: those that it is about.
        mark: what is said beside them in a listing; empty where nothing is.
        beside: whether the mark says all, so that a listing with marks needs no line of its own for it.
    """

    section: str
    label: str
    text: str
    statements: tuple[str, ...] = ()
    mark: str = ""
    beside: bool = False


class Asked(Protocol):
    """The settings of a run that evidence and verdict hang on; see `Settings`."""

    @property
    def match(self) -> float: ...
    @property
    def least(self) -> float: ...
    @property
    def statements(self) -> int: ...
    @property
    def numbers(self) -> int: ...
    @property
    def lengths(self) -> tuple[int, int]: ...
    @property
    def seed(self) -> int: ...
    @property
    def evidence(self) -> Level: ...


@dataclass(frozen=True)
class Question:
    """A model under study, and what is asked of a program for it."""

    study: "Study"
    settings: Asked

    @property
    def parts(self) -> int:
        """Heads and MLPs of the model: how many statements it counts as."""
        return sum(self.study.transformer.heads + 1 for _ in self.study.transformer.blocks)

    @property
    def examinee(self) -> Examinee:
        """The model on what is judged."""
        found = parts(self.study.task)
        return Examinee(
            found.judged, numpy_logits(self.study.oracle), self.settings.lengths, self.parts, found.all_inputs, self.study.bidirectional
        )

    @property
    def fitting(self) -> Examinee:
        """The model on what is not judged, for what is read off it to compare with."""
        return replace(self.examinee, task=parts(self.study.task).search, all_inputs=False)


@dataclass(frozen=True)
class KindTuning:
    """What a kind may spend, and on how many sequences it is worth its while."""

    share: float = knob(0.5, unit="share of the budget that is left", origin="chosen")
    seconds: float = knob(10.0, unit="seconds at the most", origin="chosen: a person waits for it")
    least: int = knob(100, unit="sequences", origin="chosen: all of 100 alike show .963 at the least")
    most: int = knob(20_000, unit="sequences", origin="chosen")
    enough: int = knob(0, unit="sequences, for which it may take all that is left", origin="chosen")


@dataclass(frozen=True)
class Measured:
    """What match leaves for the kinds that come after it.

    Attributes:
        cost: what each sequence took of the budget, in its unit.
    """

    fresh: EvaluationSet
    predicted: Predictor
    trivial: Mapping[str, Predictor]
    cost: float = 0.0

    @property
    def answered(self) -> EvaluationSet:
        """The sequences. Raises NotMeasured where nobody knows what is right on them."""
        if not self.fresh.answered:
            raise NotMeasured("nobody knows what is right on these sequences")
        return self.fresh


class NotMeasured(Exception):
    """A kind cannot be measured here; the message says why."""


@dataclass
class Bench:
    """What a kind measures with.

    Attributes:
        budget: its slice of what the run may spend.
        sequences: on how many it may measure.
        match: what match left; set by that kind.
    """

    program: Program
    question: Question
    budget: Budget
    sequences: int = 0
    match: Measured | None = None

    def rng(self, stream: int) -> np.random.Generator:
        """Random numbers of this stream, apart from all others of the run."""
        return np.random.default_rng([self.question.settings.seed, stream])

    @property
    def measured(self) -> Measured:
        """What match left. Raises NotMeasured where that is nothing."""
        if self.match is None:
            raise NotMeasured("match was not measured")
        return self.match


Tuning = TypeVar("Tuning", bound=KindTuning)


@dataclass(frozen=True)
class Kind(Generic[Tuning]):
    """One kind of evidence.

    Attributes:
        name: its key in `evidence.json`.
        question: what it answers, in a sentence.
        how: how it is measured.
        runs: what it costs: for a program, about how many runs of program and model each sequence takes.
        measure: given the kind's tuning, what it found by key of `evidence.json`; None there where it does not apply. It may raise any
            exception, which then stands in the evidence as a gap.
        rows: what is to be said of it; given the values of its keys, None where they were not measured.
        keys: those of the evidence that its rows tell of; its name alone where that is empty.
        a_band: whether `least` and `enough` count the sequences of each length band.
        slow: whether `--evidence quick` leaves it out.
        decides: whether the verdict hangs on it: `--evidence verdict` leaves all others out.
    """

    name: str
    question: str
    how: str
    runs: Callable[[Program], float]
    measure: Callable[[Bench, Tuning], Mapping[str, Any]]
    rows: Callable[..., Sequence[Row]]
    tuning: Tuning
    keys: tuple[str, ...] = ()
    a_band: bool = False
    slow: bool = False
    decides: bool = False

    def asked(self, level: Level) -> bool:
        """Whether it is measured where so much evidence is asked for."""
        return self.decides if level == "verdict" else not (self.slow and level == "quick")
