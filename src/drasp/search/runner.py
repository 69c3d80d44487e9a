"""The runner: follows the plan, measures what passes yield, keeps what they find, and tells frontier, journal and display."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import TypeVar

from torch import Tensor

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.interrupts import HeldInterrupts
from drasp.core.intervals import Z
from drasp.core.journal import Journal
from drasp.errors import DraspError, kind_and_message
from drasp.evidence.schema import PassRecord
from drasp.evidence.verdict import within_limits
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.learn.circuit import Circuit, Edges
from drasp.learn.match import Matcher
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch, Study, draw_few, draw_pools
from drasp.learn.trial import Doing, Found, PoolName, Steps, Trial
from drasp.model.wiring import full_wiring
from drasp.naming.named import NamingAim, named, named_whole
from drasp.naming.pieces import Naming
from drasp.passes.aim import Aim
from drasp.passes.circuit import TooLarge, expand, header_of
from drasp.passes.eliminate import eliminate
from drasp.passes.token_table import token_table
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify
from drasp.run.gated import Executor
from drasp.search.choose import Candidate, Choice, by_bisection, eligible
from drasp.search.frontier import Frontier
from drasp.search.plan import PLAN, Pass, Stage
from drasp.search.settings import Settings, Tuning

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """What is being tried: which phase, what, on a program of how many statements, how well the last one matched, seconds so far."""

    phase: str
    trying: str
    statements: int | None
    match: float | None
    seconds: float


@dataclass(frozen=True)
class Run:
    """What a run is given.

    Attributes:
        report: told of every step; it may raise KeyboardInterrupt, as Ctrl-C does.
    """

    settings: Settings
    tuning: Tuning
    budget: Budget
    journal: Journal
    report: Callable[[Progress], None]


@dataclass
class Record:
    """What is to be told of a search.

    Attributes:
        reason: why it could not go on, where it could not.
    """

    frontier: Frontier
    passes: list[PassRecord] = field(default_factory=list)
    interrupted: bool = False
    stopped_by_time: bool = False
    reason: str | None = None


class Runner:
    """One search. `record` tells of it when `search` has ended."""

    def __init__(self, study: Study, run: Run) -> None:
        self.study, self.run = study, run
        self.record = Record(Frontier(run.tuning.frontier))
        self._oracle: Oracle | None = None
        self._candidates: list[Candidate] = []
        self._circuit: Circuit | None = None
        self._symbols: Program | None = None
        self._symbols_end = False
        self._named: Naming | None = None
        self._matches: dict[str, float] = {}
        self._phase = "drawing sequences"
        self._match: float | None = None
        self.interrupts = HeldInterrupts()

    def search(self) -> Naming:
        """The best program found. From its end on Ctrl-C waits until `interrupts` are released: until it is saved."""
        try:
            return self._searched()
        finally:
            self.interrupts.hold()

    def _searched(self) -> Naming:
        try:
            self._follow(self._drawn())
        except (KeyboardInterrupt, OutOfBudget) as stop:
            self._stopped(stop)
        if self._named is not None:
            return self._named
        if self._symbols is not None and (self._symbols_end or self.record.interrupted):
            return Naming(self._symbols, ())
        if self._oracle is None or len(self._candidates) == 1:
            return Naming(self._symbols or self._nothing_found(), ())
        best = self._name(self._chosen(self._oracle), self._oracle)
        if self._symbols is None or not size(best.program).opaque or self.match_of(best.program) >= self.match_of(self._symbols):
            return best
        return Naming(self._symbols, ())  # short of what is worth having, but the best there is

    def _nothing_found(self) -> Program:
        """What a search leaves that was stopped before it found anything: the model itself as a program; where that would be too large to
        be written in the time left, a current-token table.
        """
        transformer, settings, header = self.study.transformer, self.run.settings, header_of(self.study)
        tuning = self.run.tuning
        most = tuning.choice.lifted if self.record.interrupted else tuning.frontier.statements
        if expanded_statements(full_wiring(transformer)) <= most:
            return simplify(lift(transformer, header))
        if self._oracle is not None:
            return self._table
        return token_table(header, draw_few(self.study, settings.lengths, settings.seed, tuning.pools, self._closing()))

    def _closing(self) -> Budget:
        """What is left; a few seconds of it where a person wants the search to end."""
        seconds = self.run.tuning.choice.interrupted if self.record.interrupted else inf
        return self.run.budget.next(1.0, seconds)

    def _drawn(self) -> Oracle:
        run, settings = self.run, self.run.settings
        self._tell("", None)
        budget = PLAN.until(run.budget, PLAN.last.until)
        pools = draw_pools(self.study, settings.lengths, settings.seed, run.tuning.pools, budget, run.journal)
        oracle = Oracle(self.study, pools, settings.seed, run.tuning.pools, run.journal)
        self._matcher = Matcher(oracle)
        self._table = token_table(header_of(self.study), oracle.sample)
        self._candidates = [Candidate(self._table, loose=False)]
        self._oracle = oracle
        return oracle

    def _follow(self, oracle: Oracle) -> None:
        edges = Edges(oracle, self.run.tuning.circuit.unit_floor, PLAN.until(self.run.budget, PLAN.last.until))
        for stage in PLAN.stages:
            if stage.takes(edges) and self._stage(stage, edges):
                return

    def _stage(self, stage: Stage, edges: Edges) -> bool:
        """Follows one stage; whether the search is over."""
        budget = PLAN.until(self.run.budget, stage.until, stage.seconds)
        try:
            return self._passes(stage, edges, budget)
        except TooLarge as reason:
            if stage.linear:  # it takes the whole model; of a circuit less may be left
                return False
            self.record.reason = str(reason)
            return True
        except OutOfBudget:
            if not (stage.slack or stage.symbols):
                raise
            self.run.journal.stopped(budget)
            return self._named is not None or (stage.symbols and self._worth_having())
        except KeyboardInterrupt:
            self.interrupts.hold()  # another one must not lose what this one is to save
            raise
        except DraspError:
            raise
        except Exception as error:  # whatever it is, what was found before is not lost
            self._stopped(error)
            return False
        finally:
            self._keep_circuit(stage)

    def _passes(self, stage: Stage, edges: Edges, budget: Budget) -> bool:
        """Whether what they leave is enough."""
        aim, oracle = self._aim(stage), edges.oracle
        subject: Edges | Program = edges
        for apply in stage.passes:
            left = self._apply(stage, apply, subject, aim, budget)
            if left is None:
                return False
            if stage.symbols:
                return self._worth_having()
            subject = left
            if apply in stage.named_after and self._named_early(subject, oracle, budget):
                return True
        assert isinstance(subject, Program)
        return stage.enough and self._measured(Trial(subject, "", pool="verify"), budget) >= self.run.settings.match

    def _worth_having(self) -> bool:
        """Whether there is a program in symbols that matches well enough, over all lengths, on sequences that no choice was made by."""
        if self._symbols is None or not within_limits(self._symbols, self.run.settings):
            return False
        match = self._measured(Trial(self._symbols, "", pool="verify", over="all"), PLAN.until(self.run.budget, PLAN.last.until))
        self._symbols_end = match >= min(self.run.settings.least, self.run.settings.match)
        return self._symbols_end

    def _apply(self, stage: Stage, apply: Pass, subject: "Edges | Program", aim: Aim, budget: Budget) -> Program | None:
        """What one pass makes of what there is."""
        assert self._oracle is not None
        began = budget.spent()
        self._phase = f"{stage.name}: {apply.__name__.replace('_', ' ')}"
        self._tell("", subject if isinstance(subject, Program) else None)
        found: Program | None = self._drive(apply(subject, self._oracle, aim, budget), budget, lambda what: self._keep(what, stage))
        if found is not None:
            self._note(found, began, budget)
        return found

    def _drive(self, steps: Steps[Result], budget: Budget, keep: Callable[[object], None]) -> Result:
        """Answers a pass until it returns."""
        try:
            step = next(steps)
            while True:
                step = steps.send(self._answered(step, budget, keep))
        except StopIteration as end:
            return end.value

    def _answered(self, step: Trial | Doing | Found, budget: Budget, keep: Callable[[object], None]) -> float:
        if isinstance(step, Found):
            keep(step.what)
            return 0.0
        budget.check()
        if isinstance(step, Doing):
            self._tell(step.trying, step.program)
            return 0.0
        self._tell(step.trying, step.candidate if isinstance(step.candidate, Program) else None)
        return self._measured(step, budget)

    def _measured(self, trial: Trial, budget: Budget) -> float:
        """The match of a candidate."""
        candidate = trial.candidate
        work = candidate.edges if isinstance(candidate, Circuit) else len(candidate.statements)
        match = self._matcher.match(trial, lambda: self._ready(candidate), work, budget)
        if match >= trial.at_least and trial.over == "worst":
            self._matches[candidate.digest] = match
            self._show(candidate, match, trial.pool)
        return match

    def _ready(self, candidate: Program | Circuit) -> Callable[[Batch], Tensor]:
        """Ready to run."""
        if isinstance(candidate, Circuit):
            return candidate.scored_logits
        executor = Executor(candidate, self.study.device)
        return lambda batch: executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored)

    def _show(self, candidate: Program | Circuit, match: float, pool: PoolName) -> None:
        """Tells the frontier; of circuits, of those that are small enough for it."""
        if isinstance(candidate, Program):
            self.record.frontier.add(candidate, match, pool)
        elif self._oracle is not None and self.record.frontier.takes(expanded_statements(candidate.wiring)):
            program = expand(candidate, self._oracle, self._aim(PLAN.last))
            self.record.frontier.add(program, match, pool)

    def _keep(self, what: object, stage: Stage) -> None:
        """One more candidate; of those larger than any frontier the last alone is kept, as they take the most memory, but what matches as
        asked does not give way to what matches only loosely.
        """
        if isinstance(what, Circuit):
            self._circuit = what
            return
        assert isinstance(what, Program)
        if stage.symbols:
            self._symbols = what
            return
        self._circuit = None
        new, last = Candidate(what, loose=stage.slack > 0), self._candidates[-1]
        if len(self._candidates) > 1 and self._too_large(what) and self._too_large(last.program) and (last.loose or not new.loose):
            self._candidates.pop()
        self._candidates.append(new)

    def _too_large(self, program: Program) -> bool:
        return len(program.statements) > max(self.run.tuning.frontier.statements, self.run.settings.statements)

    def _keep_circuit(self, stage: Stage) -> None:
        """A stage that was stopped before its circuit was expanded leaves the program of the last that it found."""
        circuit, self._circuit = self._circuit, None
        if circuit is None or self._oracle is None:
            return
        try:
            self._keep(expand(circuit, self._oracle, self._aim(stage)), stage)
        except KeyboardInterrupt:  # expanded once more, while another one waits
            self.interrupts.hold()
            self._circuit = circuit
            self._keep_circuit(stage)
            raise
        except Exception as reason:  # too large, or anything else: what was found before is not lost
            self.record.reason = str(reason)

    def _named_early(self, program: Program, oracle: Oracle, budget: Budget) -> bool:
        """Whether all of a program can be named before it is pruned to the end; if so, that is what the search has found."""
        settings = self.run.settings
        if len(program.statements) > self.run.tuning.choice.named:
            return False
        began, self._phase = budget.spent(), "naming early"
        limit = budget.limit + min(PLAN.early * budget.whole, PLAN.early_seconds * budget.pace)
        naming_budget = self.run.budget.by(limit)
        found = self._drive(
            named_whole(program, oracle, self._naming_aim(oracle, naming_budget), naming_budget), naming_budget, lambda what: None
        )
        if found is not None and within_limits(found.program, settings) and self._holds(found.program, naming_budget):
            self._named = found
            self._note(found.program, began, naming_budget)
        return self._named is not None

    def _chosen(self, oracle: Oracle) -> Program:
        """The smallest candidate that still matches on sequences that no choice was made by."""
        found = eligible(self._candidates)
        choice = Choice.among(found, self._to_hold, self.run.tuning.pools.verified, self.run.tuning.prune)
        if self.record.interrupted:
            return choice.picked(self._table)
        self._phase, budget = "choosing", PLAN.until(self.run.budget, PLAN.chosen)
        try:
            return self._drive(by_bisection(choice, oracle, self._aim(PLAN.last), budget), budget, lambda what: None)
        except (KeyboardInterrupt, OutOfBudget, Exception) as stop:
            self._stopped(stop)
            return choice.picked(self._table)

    def _name(self, program: Program, oracle: Oracle) -> Naming:
        """The program with what can be named, where that holds on sequences that no choice was made by; otherwise as it was."""
        best = Naming(program, ())
        if self.record.interrupted or len(program.statements) > self.run.tuning.choice.named or not size(program).opaque:
            return best
        self._phase, budget = "naming", PLAN.until(self.run.budget, PLAN.named)
        began = budget.spent()

        def keep(what: object) -> None:
            nonlocal best
            assert isinstance(what, Naming)
            if what.program.digest == best.program.digest:
                best = what  # with its pieces, which are measured once it is found
            elif size(what.program).opaque < size(best.program).opaque and self._holds(what.program, budget):
                best = what
                self._note(what.program, began, budget)

        try:
            self._drive(named(program, oracle, self._naming_aim(oracle, budget), budget), budget, keep)
        except (KeyboardInterrupt, OutOfBudget, Exception) as stop:
            self._stopped(stop)
        return best

    def match_of(self, program: Program) -> float:
        """As last measured, on whichever sequences of the search; 0 where it was not."""
        return self._matches.get(program.digest, 0.0)

    def _holds(self, program: Program, budget: Budget) -> bool:
        return self._measured(Trial(program, "", pool="verify"), budget) >= self._to_hold

    @property
    def _to_hold(self) -> float:
        """What match must be on the sequences that no choice was made by."""
        tuning = self.run.tuning
        return _wanted(self.run.settings.match, tuning.choice.verify_margin, tuning.pools.verified)

    def _aim(self, stage: Stage) -> Aim:
        tuning = self.run.tuning
        asked = max(self.run.settings.match - stage.slack, 0)
        threshold = _wanted(asked, tuning.choice.select_margin, tuning.pools.selected)
        refit = tuning.linear_refit if stage.linear else tuning.exact_refit
        least = min(self.run.settings.least, self.run.settings.match)
        return Aim(threshold, refit, tuning.prune, tuning.circuit, tuning.names, tuning.naming, least)

    def _naming_aim(self, oracle: Oracle, budget: Budget) -> NamingAim:
        aim = self._aim(PLAN.last)
        return NamingAim(aim.threshold, lambda program: eliminate(program, oracle, aim, budget), self.run.tuning.naming)

    def _stopped(self, stop: BaseException) -> None:
        """Time is up, a pass failed, or a person stopped the search: what it asks from then on does not count when it goes on."""
        if isinstance(stop, OutOfBudget):
            self.record.stopped_by_time = True
            self.run.journal.stopped(self.run.budget)
            return
        if not isinstance(stop, KeyboardInterrupt):
            self.record.reason = f"{self._phase} failed: {kind_and_message(stop)}"
            return
        self.interrupts.hold()
        self.record.interrupted = True
        self.run.journal.close(self.run.budget)
        self._phase = "interrupted, saving the best program so far"
        with suppress(KeyboardInterrupt):  # of a report that raises it every time
            self._tell("", None)

    def _note(self, program: Program, began: float, budget: Budget) -> None:
        """What a pass left, and what it took."""
        seconds = budget.spent() - began
        self._match = self._measured(Trial(program, ""), budget)
        found = size(program)
        self.record.passes.append(PassRecord(self._phase, round(seconds, 2), found.statements, found.opaque, round(self._match, 6)))

    def _tell(self, trying: str, program: Program | None) -> None:
        statements = None if program is None else len(program.statements)
        self.run.report(Progress(self._phase, trying, statements, self._match, self.run.budget.seconds()))


def _wanted(match: float, margin: float, sequences: int) -> float:
    """What match must be on so many sequences a band for the evidence to show `match`, with what chance and choice may add to it there."""
    return match + min(margin * (1 - match), Z * sqrt(match * (1 - match) / sequences))
