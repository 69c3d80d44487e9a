"""Gathers the evidence for a program, kind by kind, as far as the budget goes. Whatever fails becomes a gap, never a lost run."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.records import to_json
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.errors import kind_and_message, shortened
from drasp.evidence.conventions import Conventions
from drasp.evidence.kind import Bench, Kind, NotMeasured, Question
from drasp.evidence.schema import KINDS, PENDING, Evidence, FrontierEntry, Gap, ModelInfo, NamedPiece, PassRecord, Versions
from drasp.evidence.verdict import verdict, within_limits
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.lang.folder import PROGRAM_FILE
from drasp.learn.evaluation import draw, predictor, task_bands


@dataclass(frozen=True)
class Searched:
    """What the search recorded.

    Attributes:
        program: what it ended with, as it is saved, and read back.
        frontier: the programs it met; the one whose file is the run's own program gets the match that is measured here.
        reason: why there is no better program, where that is known.
        tuning: the numbers that steered it.
        conventions: where the task may not be as the model was trained on it.
    """

    program: Program
    passes: tuple[PassRecord, ...] = ()
    named: tuple[NamedPiece, ...] = ()
    frontier: tuple[FrontierEntry, ...] = ()
    reason: str | None = None
    interrupted: bool = False
    stopped_by_time: bool = False
    tuning: dict[str, Any] | None = None
    conventions: Conventions | None = None


@dataclass(frozen=True)
class EvidenceTuning:
    """What is measured, and how it is found out what a sequence costs. What a kind may spend stands in the tuning of each kind."""

    kinds: tuple[Kind[Any], ...] = knob(KINDS, unit="kinds of evidence, in order", origin="match first: the others build on it")
    trial_least: int = knob(6, unit="sequences", origin="chosen: all that is worth risking on a large program")
    trial_most: int = knob(300, unit="sequences", origin="chosen: the time of fewer hangs on their lengths")
    trial_statements: int = knob(2_500, unit="sequences times statements", origin="chosen")
    trial_share: float = knob(0.2, unit="share of the budget that is left", origin="chosen: the longer trial may take no more")
    planned: float = knob(0.5, unit="share of a kind's budget that is planned to be spent", origin="chosen: the cost is an estimate")

    def as_json(self) -> dict[str, Any]:
        """The numbers, those of each kind by its name."""
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kinds"}
        return {**{kind.name: to_json(kind.tuning) for kind in self.kinds}, **numbers}


def gather(
    searched: Searched, question: Question, budget: Budget, tell: Callable[[str], None], tuning: EvidenceTuning
) -> Iterator[Evidence]:
    """The evidence for a program, ever more of it: first with every kind a gap, then after each kind.

    Args:
        budget: what all of it may spend; where work is counted, nothing hangs on the clock.
        tell: told what is measured, and what could not be; it may raise KeyboardInterrupt, as Ctrl-C does: the rest are gaps then.
    """
    gathering = _Gathering(Bench(searched.program, question, budget), budget, tell, tuning)
    evidence = _nothing_yet(searched, question, tuning)
    yield replace(evidence, seconds=round(budget.seconds(), 2))
    for kind in tuning.kinds:
        found, reason = gathering.measured(kind)
        gaps = tuple(gap for gap in evidence.gaps if gap.kind != kind.name)
        if reason is not None:
            gaps = tuple(replace(gap, reason=reason) if gap.kind == kind.name else gap for gap in evidence.gaps)
        evidence = replace(evidence, **found, gaps=gaps, interrupted=evidence.interrupted or gathering.interrupted)
        evidence = _judged(evidence, searched, question)
        yield replace(evidence, seconds=round(budget.seconds(), 2))


def _nothing_yet(searched: Searched, question: Question, tuning: EvidenceTuning) -> Evidence:
    settings = asdict(cast(Any, question.settings))
    return Evidence(
        verdict="not decompiled",
        interrupted=searched.interrupted,
        stopped_by_time=searched.stopped_by_time,
        size=size(searched.program),
        passes=searched.passes,
        seconds=0.0,
        seed=question.settings.seed,
        settings={**to_json(settings), "task": question.study.task.name},
        versions=Versions.of_now(),
        model=ModelInfo.of(question.study.transformer),
        reason=searched.reason,
        named=searched.named,
        frontier=searched.frontier,
        tuning=searched.tuning,
        conventions=searched.conventions,
        gaps=tuple(Gap(kind.name, PENDING) for kind in tuning.kinds),
    )


def _judged(evidence: Evidence, searched: Searched, question: Question) -> Evidence:
    """The evidence with the verdict that follows from it, and the match it found in the frontier."""
    if evidence.match is None:
        missing = [f"match could not be measured: {gap.reason}" for gap in evidence.gaps if gap.kind == "match"]
        return replace(evidence, verdict="not decompiled", reason="; ".join([*filter(None, [searched.reason]), *missing]) or None)
    match = min(band.accuracy for band in evidence.match.bands)
    frontier = tuple(
        replace(entry, match=match, measured_on="evidence") if entry.file == PROGRAM_FILE else entry for entry in searched.frontier
    )
    judged = verdict(searched.program, evidence.match, evidence.attention, evidence.interchange, question.settings)
    return replace(evidence, verdict=judged, matched_at=evidence.match.worst.low, frontier=frontier)


class _Gathering:
    """The state of `gather`: what match left for the others, what a sequence costs, and whether a person stopped it."""

    def __init__(self, bench: Bench, budget: Budget, tell: Callable[[str], None], tuning: EvidenceTuning):
        self.bench, self.budget, self.tell, self.tuning = bench, budget, tell, tuning
        self.cost: float | None = None
        self.interrupted = False

    def measured(self, kind: Kind[Any]) -> tuple[dict[str, Any], str | None]:
        """What a kind found by key of the evidence, or nothing and the reason why."""
        settings = self.bench.question.settings
        if not kind.asked(settings.evidence):
            return {}, f"left out by --evidence {settings.evidence}"
        if settings.evidence == "verdict" and kind.name != "match" and not within_limits(self.bench.program, settings):
            return {}, "the verdict does not hang on it: the program is not short and in symbols"
        self._say(kind.name.replace("_", " "))
        if self.interrupted:
            return {}, "interrupted"
        found, reason = self._attempt(kind)
        if reason is not None:
            self._say(f"{kind.name.replace('_', ' ')} not measured: {reason}")
        return found, reason

    def _attempt(self, kind: Kind[Any]) -> tuple[dict[str, Any], str | None]:
        try:
            self.bench.budget = self.budget.next(1.0) if kind.tuning.enough else self._share(kind)
            self.bench.sequences = self._sequences(kind)
            return dict(kind.measure(self.bench, kind.tuning)), None
        except KeyboardInterrupt:
            self.interrupted = True
            return {}, "interrupted"
        except OutOfBudget:
            return {}, "its budget ran out before it was done"
        except NotMeasured as known:
            return {}, str(known)
        except Exception as error:
            return {}, shortened(f"it failed: {kind_and_message(error)}")

    def _say(self, what: str) -> None:
        try:
            self.tell(what)
        except KeyboardInterrupt:
            self.interrupted = True
        except OSError:  # nobody reads it any more
            pass

    def _share(self, kind: Kind[Any]) -> Budget:
        """What a kind may spend; beyond that only on what is enough."""
        return self.budget.next(kind.tuning.share, kind.tuning.seconds)

    def _sequences(self, kind: Kind[Any]) -> int:
        """On how many sequences the budget lets a kind measure. Raises NotMeasured where that is no evidence."""
        tuning, runs = kind.tuning, kind.runs(self.bench.program)
        if runs == 0:
            return tuning.most
        cost = runs * self._cost()
        bands = len(task_bands(self.bench.question.examinee.task, self.bench.question.settings.lengths)) if kind.a_band else 1
        left, share = (self.tuning.planned * budget.left() for budget in (self.bench.budget, self._share(kind)))
        all_of_it, share = (int(min(part / cost, tuning.most)) if cost else tuning.most for part in (left, share))
        count = max(share, min(tuning.enough * bands, all_of_it))
        if count < tuning.least * bands:
            raise NotMeasured(f"its budget suffices for {count} sequences; fewer than {tuning.least * bands} are no evidence")
        return count

    def _cost(self) -> float:
        """What a run of program and model costs a sequence, about, in the unit of the budget: as match found, before that by a trial."""
        if self.bench.match is not None:
            return self.bench.match.cost
        if self.cost is None:
            tuning, statements = self.tuning, len(self.bench.program.statements)
            trial = max(tuning.trial_least, min(tuning.trial_most, tuning.trial_statements // statements))
            self.cost = self._trial(tuning.trial_least)
            for sequences in (tuning.trial_least, trial):  # what runs first is slow: libraries start
                if sequences * self.cost < tuning.trial_share * self.budget.left():
                    self.cost = self._trial(sequences)
        return self.cost

    def _trial(self, sequences: int) -> float:
        self.budget.check()
        began = self.budget.spent()
        drawn = draw(self.bench.question.examinee, sequences, self.bench.rng(Stream.TRIAL), self.budget)
        predictor(self.bench.program, drawn, self.budget)
        return (self.budget.spent() - began) / drawn.sequences
