"""From a trained Transformer to a program with its evidence."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeVar

from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.core.records import from_json, to_json
from drasp.core.threads import one_thread
from drasp.errors import DraspError, kind_and_message, shortened
from drasp.evidence.conventions import conventions
from drasp.evidence.gather import Searched, gather
from drasp.evidence.kind import Question
from drasp.evidence.schema import Evidence, NamedPiece
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.learn.pools import Study
from drasp.model.forward import TorchTransformer
from drasp.model.given import Model, both_fitted
from drasp.model.modes import device_named, own_modes
from drasp.rewrite.tidy import tidy
from drasp.search.frontier import Point, listing
from drasp.search.plan import PLAN, Pass
from drasp.search.runner import Progress, Record, Run, Runner
from drasp.search.settings import Settings, Tuning
from drasp.tasks.examples import Sequences
from drasp.tasks.protocol import Task

Made = TypeVar("Made")


@dataclass(frozen=True)
class Decompilation:
    """A program and the evidence for it, as `evidence.json` holds it.

    Attributes:
        frontier: what else the search met, from small to large, the program among them.
        task: as it fits the model.
    """

    program: Program
    evidence: Evidence
    frontier: tuple[Point, ...]
    task: Task | None = field(default=None, compare=False, repr=False)


def _nothing(what: object) -> None:
    """Told, and not listening."""


@dataclass(frozen=True)
class Session:
    """What a run is connected to.

    Attributes:
        budget: what it may spend, where some of that is spent already; of the settings by default.
        journal: where what is learned is kept while the search runs; one with what an earlier process learned makes this one go on from
            there, with as much less to spend.
        report: told of every step; it may raise KeyboardInterrupt, as Ctrl-C does: the best program so far is returned.
        arrived: given the program as soon as it is found, and again with each kind of evidence.
        say: told, in a line, where the task may not be as the model was trained on it.
    """

    budget: Budget | None = None
    journal: Journal = field(default_factory=Journal)
    report: Callable[[Progress], None] = _nothing
    arrived: Callable[[Decompilation], None] = _nothing
    say: Callable[[str], None] = _nothing


def decompile(
    model: Model,
    task: Task | Sequences | str | os.PathLike[str],
    settings: Settings = Settings(),
    session: Session | None = None,
    tuning: Tuning = Tuning(),
) -> Decompilation:
    """Decompiles a model.

    Args:
        model: a folder or the name of a bundled model, or a model in memory: one of drasp's own, a `GPT2LMHeadModel` of Hugging Face, or a
            GPT-2-style `HookedTransformer` of TransformerLens.
        task: its vocabulary, and the sequences on which program and model are compared; or its name or file, as `drasp.load_task` takes it;
            or sequences alone, as `drasp.examples` takes them.

    Raises:
        DraspError: the model is none of these or is not supported, or the task does not fit it.
    """
    if not isinstance(settings, Settings):
        raise DraspError(f"settings must be drasp.Settings(...), not {type(settings).__name__}")
    session = session or Session()
    transformer, task = both_fitted(model, task, settings.lengths)
    device = device_named(settings.device)
    budget = session.budget or Budget.of(settings.time, settings.work, tuning.budget)
    with own_modes(), one_thread(True):  # several batches are worked on at once instead
        study = Study(transformer, task, TorchTransformer(transformer, device=device))
        odd = conventions(study, settings.lengths, settings.seed, tuning.conventions)
        if odd is not None:
            session.say(odd.line)
        runner = Runner(study, Run(settings, tuning, budget, session.journal, session.report))
        try:
            searched, frontier = _searched(runner)
            searched = replace(searched, conventions=odd)
            return replace(_measured(searched, frontier, runner, session.arrived), task=task)
        finally:
            runner.interrupts.release()


def _searched(runner: Runner) -> tuple[Searched, tuple[Point, ...]]:
    """What the search found, as it is saved, and what else it met. Whatever fails, the program is there."""
    run = runner.run
    found = runner.search()
    run.budget.replay(None)
    record = runner.record
    aside = run.tuning.tidy.aside
    program = _made(record, "the program could not be tidied", lambda: _tidied(found.program, aside), found.program)
    result = Point(program, runner.match_of(found.program), "evidence")

    def met() -> tuple[Point, ...]:
        return tuple(p if p is result else replace(p, program=tidy(p.program, aside)) for p in record.frontier.with_result(result))

    def pieces() -> tuple[NamedPiece, ...]:
        names = dict(zip((s.name for s in found.program.statements), (s.name for s in program.statements), strict=True))
        return tuple(from_json(NamedPiece, piece.as_json(names)) for piece in found.pieces)

    frontier: tuple[Point, ...] = _made(record, "the frontier could not be kept", met, (result,))
    named: tuple[NamedPiece, ...] = _made(record, "what was named could not be written", pieces, ())
    searched = Searched(
        program,
        tuple(record.passes),
        named,
        listing(frontier),
        record.reason,
        record.interrupted,
        record.stopped_by_time,
        _steering(run.tuning),
    )
    return searched, frontier


def _tidied(program: Program, aside: float) -> Program:
    """The program as it is read back: what is judged is what is saved."""
    program = tidy(program, aside)
    return parse(print_program(program), program.operators)


def _made(record: Record, failed: str, make: Callable[[], Made], instead: Made) -> Made:
    """What is made of what was found; where that fails, what stands instead of it, and the reason is told."""
    try:
        return make()
    except Exception as error:
        reason = shortened(f"{failed}: {kind_and_message(error)}")
        record.reason = "; ".join(filter(None, [record.reason, reason]))
        return instead


def _names(passes: tuple[Pass, ...]) -> list[str]:
    return [apply.__name__ for apply in passes]


def _steering(tuning: Tuning) -> dict[str, Any]:
    """The numbers that steer a run, as `evidence.json` holds them."""
    stages = [{**vars(stage), "passes": _names(stage.passes), "named_after": _names(stage.named_after)} for stage in PLAN.stages]
    return to_json({**vars(tuning), "evidence": tuning.evidence.as_json(), "plan": {**vars(PLAN), "stages": stages}})


def _measured(searched: Searched, frontier: tuple[Point, ...], runner: Runner, arrived: Callable[[Decompilation], None]) -> Decompilation:
    """The program with ever more evidence; it is told of each time. From the first time on it can be interrupted."""
    run = runner.run

    def tell(what: str) -> None:
        run.report(Progress("measuring the evidence", what, len(searched.program.statements), None, run.budget.seconds()))

    seconds = run.tuning.choice.interrupted if searched.interrupted else inf
    rest = PLAN.until(run.budget, PLAN.measured).next(1.0, seconds)
    for evidence in gather(searched, Question(runner.study, run.settings), rest, tell, run.tuning.evidence):
        points = tuple(_with_match(point, evidence) if point.measured_on == "evidence" else point for point in frontier)
        found = Decompilation(searched.program, evidence, points)
        arrived(found)
        try:
            runner.interrupts.release()
        except KeyboardInterrupt:
            found = replace(found, evidence=evidence.cut_short())
            arrived(found)
            break
    return found


def _with_match(result: Point, evidence: Evidence) -> Point:
    """The result with the match that was measured, where it was."""
    return result if evidence.match is None else replace(result, match=min(band.accuracy for band in evidence.match.bands))
