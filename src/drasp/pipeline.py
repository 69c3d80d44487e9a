"""From a trained Transformer to a program with its evidence: the passes in order, and the runner that times and measures them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Literal

import numpy as np
import torch

from drasp.core.budget import Budget
from drasp.core.intervals import Z
from drasp.core.records import from_json
from drasp.evidence.gather import Searched, gather
from drasp.evidence.kind import Study
from drasp.evidence.schema import Evidence, NamedPiece, PassRecord
from drasp.evidence.verdict import within_limits
from drasp.frontier import STATEMENTS_AT_MOST, Frontier, Point, listing
from drasp.ir.nodes import TOKEN, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.ir.size import size
from drasp.journal import Journal, TimeIsUp
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.model.forward import TorchTransformer
from drasp.model.given import Model, as_transformer, check_fit
from drasp.model.transformer import Transformer
from drasp.model.wiring import Wiring
from drasp.passes.components import Stage, prune_components
from drasp.passes.context import SELECTED, VERIFIED, Context, make_context
from drasp.passes.fit import fit
from drasp.passes.lift import expanded_statements, lift
from drasp.passes.name import Naming, name, name_whole
from drasp.passes.pools import Batch, Subject, make_batches
from drasp.passes.prune import SearchSettings, complexity, cut_by_rank, eliminate, fit_constants, linearise, sweep
from drasp.passes.simplify import simplify
from drasp.passes.tidy import tidy
from drasp.run.threads import one_thread
from drasp.tasks.protocol import Task
from drasp.tasks.user import load_task

Pass = Callable[[Program, Context, SearchSettings], Program]

LINEAR_NORMS: tuple[Pass, ...] = (
    linearise,  # every LayerNorm becomes a constant, by token or position where it can
    fit_constants,  # which the constants of the rest make good
    cut_by_rank,  # what matters least goes, as much as match bears
    eliminate,  # then one part after the other, until nothing more can go
)
EXACT_NORMS: tuple[Pass, ...] = (
    eliminate,  # from the components that matter, expanded: part by part; it also tries to do without each norm
)
LOOSE_EXACT_NORMS: tuple[Pass, ...] = (
    sweep,  # what can go without a refit
    *EXACT_NORMS,
)  # after each it is seen whether all that is left can be named; if so, that is the end

EXPANDED_AT_MOST = 1500  # statements of an expanded program; more would take too long to prune line by line
NAMED_AT_MOST = 200  # statements of a program that is worth the time of naming: too long for a verdict, it may still become short enough
SEARCH_SHARE, CHOICE_SHARE, NAMING_SHARE = 0.75, 0.84, 0.89  # of the time, by when each must end; the rest is for the evidence
LOOSE = 0.02  # match that a first search gives away; it only counts if all can be named, with the match asked for
LOOSE_SHARE, LOOSE_SECONDS = 0.42, 60.0  # of the time, and at the most: what takes longer is seldom named
EARLY_SHARE, EARLY_SECONDS = 0.15, 30.0  # of the time, and at the most: by how much the last early naming may exceed the loose search
HOPELESS, HOPELESS_REFITTED = 0.05, 0.02  # below the threshold: from there a refit, or another, will not bring back what was exact
LONG_BATCHES = 4  # of the sequences of all lengths, to each step of the fit of what the search ends with, where it has one in the search
SELECT_MARGIN, VERIFY_MARGIN = 0.5, 0.4  # of what is left to 1 above the match asked for: what match must be on the two pools, at the most
EVIDENCE_SHARE = 0.94  # of the time, by when the evidence must be there


@dataclass(frozen=True)
class Settings:
    """What is asked for; the fields are the flags of `drasp decompile`.

    Attributes:
        match: share of sequences, in the worst length band, on which the program must predict what the model predicts.
        statements, numbers: the most of each that a decompiled program may have.
        lengths: of the sequences that are sampled, both ends included.
        seed: of everything random.
        device: "auto", or a torch device.
        time: seconds, the evidence included.
        evidence: "quick" leaves out what is slow: off the task, interchanges, the whole language.
    """

    match: float = 0.99
    statements: int = 30
    numbers: int = 60
    lengths: tuple[int, int] = (0, 150)
    seed: int = 0
    device: str = "auto"
    time: float = 600.0
    evidence: Literal["full", "quick"] = "full"


@dataclass(frozen=True)
class Progress:
    """What is being tried: which phase, what, on a program of how many statements, how well the last one matched, seconds so far."""

    phase: str
    trying: str
    statements: int | None
    match: float | None
    seconds: float


@dataclass(frozen=True)
class Decompilation:
    """A program and the evidence for it.

    Attributes:
        frontier: what else the search met, from small to large, the program among them.
    """

    program: Program
    evidence: Evidence
    frontier: tuple[Point, ...]

    def _repr_html_(self) -> str:
        from drasp.notebook.html import program_html

        return program_html(self.program, self.evidence)


@dataclass
class _Search:
    """The search so far: what was found, what each pass did, and whether it was stopped."""

    report: Callable[[Progress], None]
    deadline: float
    statements: int
    journal: Journal
    phase: str = "drawing sequences"
    match: float | None = None
    candidates: list[Program] = field(default_factory=list)
    frontier: Frontier = field(default_factory=Frontier)
    passes: list[PassRecord] = field(default_factory=list)
    named: Naming | None = None
    interrupted: bool = False
    stopped_by_time: bool = False
    reason: str | None = None

    def check_time(self) -> None:
        self.journal.check_time(self.deadline)

    def keep(self, program: Program) -> None:
        """One more candidate; of those larger than any frontier the last alone is kept, as they take the most memory."""
        if self.candidates and self.too_large(program) and self.too_large(self.candidates[-1]):
            self.candidates.pop()
        self.candidates.append(program)

    def too_large(self, program: Program) -> bool:
        return len(program.statements) > max(STATEMENTS_AT_MOST, self.statements)

    def interrupt(self) -> None:
        """A person stopped the search: what it asks from now on does not count when it goes on."""
        self.interrupted = True
        self.journal.close()

    def trying(self, what: str, program: Program | None) -> None:
        self.check_time()
        statements = None if program is None else len(program.statements)
        self.report(Progress(self.phase, what, statements, self.match, self.journal.seconds()))


def decompile(
    model: Model,
    task: Task | str,
    settings: Settings = Settings(),
    report: Callable[[Progress], None] = lambda progress: None,
    start: float | None = None,
    journal: Journal | None = None,
    arrived: Callable[[Decompilation], None] = lambda found: None,
) -> Decompilation:
    """Decompiles a model.

    Args:
        model: a folder or the name of a bundled model, or a model in memory: one of drasp's own, a `GPT2LMHeadModel` of Hugging Face, or a
            GPT-2-style `HookedTransformer` of TransformerLens.
        task: its vocabulary, and the sequences on which program and model are compared; or its name, as `drasp.load_task` takes it.
        report: told of every step; it may raise KeyboardInterrupt, as Ctrl-C does: the best program so far is returned.
        start: when the time of the settings began, as `time.monotonic` tells it; now by default.
        journal: where what is learned is kept while the search runs; one with what an earlier process learned makes this one go on from
            there, with as much less time.
        arrived: given the program as soon as it is found, and again with each kind of evidence.

    Raises:
        DraspError: the model is none of these or is not supported, or the task does not fit it.
    """
    transformer = as_transformer(model)
    task = load_task(task) if isinstance(task, str) else task
    check_fit(transformer, task, settings.lengths, "the model")
    with one_thread(True):  # several batches are worked on at once instead
        journal = journal or Journal()
        journal.start = (time.monotonic() if start is None else start) - journal.used
        return _decompile(transformer, task, settings, report, journal, arrived)


def _decompile(
    transformer: Transformer,
    task: Task,
    settings: Settings,
    report: Callable[[Progress], None],
    journal: Journal,
    arrived: Callable[[Decompilation], None],
) -> Decompilation:
    start = journal.start
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device)
    header = Header(task.vocabulary, transformer.positions, task.predict, getattr(task, "order", None))
    search = _Search(report, start + SEARCH_SHARE * settings.time, settings.statements, journal)
    oracle = TorchTransformer(transformer, device=device)
    chosen = _find(transformer, header, task, settings, search, oracle)
    program = tidy(chosen.program)
    new_names = dict(zip((s.name for s in chosen.program.statements), (s.name for s in program.statements), strict=True))
    named = tuple(from_json(NamedPiece, piece.as_json(new_names)) for piece in chosen.pieces)
    program = parse(print_program(program), program.operators)  # what is judged is what is saved
    search.phase = "measuring the evidence"
    result = Point(program, search.match or 0.0, "evidence")
    measured = result
    frontier = tuple(p if p is result else replace(p, program=tidy(p.program)) for p in search.frontier.with_result(result))
    entries = tuple(replace(e, measured_on="select") if p is result else e for p, e in zip(frontier, listing(frontier), strict=True))
    searched = Searched(program, tuple(search.passes), named, entries, search.reason, search.interrupted, search.stopped_by_time)
    budget = Budget.of_seconds(max(0.0, start + EVIDENCE_SHARE * settings.time - time.monotonic()))

    def tell(what: str) -> None:
        report(Progress(search.phase, what, len(program.statements), None, time.monotonic() - start))

    found = None
    for evidence in gather(searched, Study(transformer, oracle, task, settings), budget, tell):
        if evidence.match is not None:
            measured = replace(result, match=min(band.accuracy for band in evidence.match.bands))
        points = tuple(measured if p is result else p for p in frontier)
        found = Decompilation(program, replace(evidence, seconds=round(time.monotonic() - start, 2)), points)
        arrived(found)
    assert found is not None
    if found.evidence.interrupted:
        search.interrupt()
    return found


def _find(transformer: Transformer, header: Header, task: Task, settings: Settings, search: _Search, oracle: TorchTransformer) -> Naming:
    """The best program found; a current-token table where the search was stopped before it had its sequences."""
    context = None
    subject = Subject(task, oracle.scored_logits, oracle.device)
    try:
        context = make_context(
            subject,
            settings.lengths,
            settings.seed,
            search.trying,
            search.check_time,
            search.keep,
            search.journal,
            search.frontier,
        )
        search.keep(_token_table(header, context.sample))
        _run_passes(transformer, header, context, settings, search)
    except KeyboardInterrupt:
        search.interrupt()
    except TimeIsUp:
        search.stopped_by_time = True
    if context is None or not search.candidates:
        rng = np.random.default_rng(settings.seed)
        few = make_batches(subject, rng, 100, settings.lengths, -1, 100)
        return Naming(_token_table(header, few), ())
    return search.named or _name(_choose(context, settings, search), context, settings, search)


def _run_passes(transformer: Transformer, header: Header, context: Context, settings: Settings, search: _Search) -> None:
    threshold = _wanted(settings.match, SELECT_MARGIN, SELECTED)
    if len(transformer.blocks) == 1:  # with more the errors of linear norms add up
        began = search.journal.seconds()
        program = simplify(lift(transformer, header))
        _record(search, context, "lift", program, began)
        for apply in LINEAR_NORMS:
            program, match = _apply("linear norms", apply, program, context, SearchSettings("hard", threshold), search)
            if apply is fit_constants and match < threshold:
                break  # the rest has no ground to stand on
        else:
            if context.match(program, context.verify) >= settings.match:
                return
    stages: list[Stage] = []
    held = list(search.candidates)
    search.deadline = search.journal.start + min(LOOSE_SHARE * settings.time, LOOSE_SECONDS)
    try:
        if _by_components(transformer, header, context, settings, search, stages, max(settings.match - LOOSE, 0), last=False):
            return
    except TimeIsUp:
        if search.named is not None:
            return
    loose, search.candidates = search.candidates, list(held)  # what only matches loosely is a candidate where there is no other
    search.deadline = search.journal.start + SEARCH_SHARE * settings.time
    try:
        _by_components(transformer, header, context, settings, search, stages, settings.match, last=True)
    finally:
        if len(search.candidates) == len(held):
            search.candidates = loose


def _by_components(
    transformer: Transformer,
    header: Header,
    context: Context,
    settings: Settings,
    search: _Search,
    stages: list[Stage],
    asked: float,
    last: bool,
) -> bool:
    """Prunes components, expands what is left and prunes that, as far as the match that is asked for bears.

    Args:
        last: whether what is left is named in the end in any case; otherwise it is tried after each pass.

    Returns:
        Whether the search is over: all could be named, or the program is too large.
    """
    how = _exact(asked)
    program = _components(transformer, header, context, how, stages, search)
    if program is None:
        return True
    for apply in EXACT_NORMS if last else LOOSE_EXACT_NORMS:
        program, _ = _apply("exact norms", apply, program, context, how, search)
        if not last and _named_early(program, context, settings, search):
            return True
    return False


def _components(
    transformer: Transformer, header: Header, context: Context, settings: SearchSettings, stages: list[Stage], search: _Search
) -> Program | None:
    """The program of the fewest components found; also where time runs out on the way. None where it would be too large."""
    began = search.journal.seconds()
    search.phase, search.reason = "components", None
    wirings: list[Wiring] = []

    def missed(wiring: Wiring, match: float) -> None:
        if expanded_statements(wiring) <= STATEMENTS_AT_MOST:
            search.frontier.add(simplify(lift(transformer, header, wiring)), match, "select")

    try:
        prune_components(transformer, context, settings, wirings.append, missed, stages)
    finally:
        if wirings:
            expanded = expanded_statements(wirings[-1])
            if expanded > EXPANDED_AT_MOST:
                search.reason = f"what is left of the model has {expanded} statements expanded; the search takes {EXPANDED_AT_MOST} at most"
            else:
                program = simplify(lift(transformer, header, wirings[-1]))
                context.found(program)
    if search.reason is not None:
        return None
    _record(search, context, search.phase, program, began)
    return program


def _apply(name: str, apply: Pass, program: Program, context: Context, how: SearchSettings, search: _Search) -> tuple[Program, float]:
    """What one pass makes of a program, and its match."""
    began = search.journal.seconds()
    search.phase = f"{name}: {apply.__name__.replace('_', ' ')}"
    search.trying("", program)
    program = apply(program, context, how)
    return program, _record(search, context, search.phase, program, began)


def _named_early(program: Program, context: Context, settings: Settings, search: _Search) -> bool:
    """Whether all of a program can be named before it is pruned to the end; if so, that is what the search has found."""
    if len(program.statements) > NAMED_AT_MOST:
        return False
    began = search.journal.seconds()
    search.phase = "naming early"
    loose, search.deadline = search.deadline, search.deadline + min(EARLY_SHARE * settings.time, EARLY_SECONDS)
    found = name_whole(program, context, _exact(settings.match))
    if found is not None and within_limits(found.program, settings) and _holds(found.program, context, settings):
        search.named = found
        _record(search, context, search.phase, found.program, began)
    search.deadline = loose
    return search.named is not None


def _name(program: Program, context: Context, settings: Settings, search: _Search) -> Naming:
    """The program with what can be named, where that holds on sequences that no choice was made by; otherwise as it was."""
    began = search.journal.seconds()
    search.phase, search.deadline = "naming", search.journal.start + NAMING_SHARE * settings.time
    best = Naming(program, ())
    if search.interrupted or len(program.statements) > NAMED_AT_MOST:
        return best
    try:
        for found in name(program, context, _exact(settings.match)):
            if size(found.program).opaque < size(best.program).opaque and _holds(found.program, context, settings):
                best = found
                _record(search, context, search.phase, found.program, began)
            began, search.phase = search.journal.seconds(), "naming again"
    except KeyboardInterrupt:
        search.interrupt()
    except TimeIsUp:
        search.stopped_by_time = True
    return best


def _holds(program: Program, context: Context, settings: Settings) -> bool:
    return context.match(program, context.verify) >= _to_hold(settings)


def _to_hold(settings: Settings) -> float:
    """What match must be on the sequences that no choice was made by."""
    return _wanted(settings.match, VERIFY_MARGIN, VERIFIED)


def _exact(match: float) -> SearchSettings:
    """How a program with exact norms is pruned."""
    return SearchSettings(
        "margins", _wanted(match, SELECT_MARGIN, SELECTED), rate=0.01, hopeless=HOPELESS, hopeless_refitted=HOPELESS_REFITTED
    )


def _wanted(match: float, margin: float, sequences: int) -> float:
    """What match must be on so many sequences a band for the evidence to show `match`, with what chance and choice may add to it there."""
    return match + min(margin * (1 - match), Z * sqrt(match * (1 - match) / sequences))


def _record(search: _Search, context: Context, name: str, program: Program, began: float) -> float:
    seconds = search.journal.seconds() - began
    match = context.match(program, context.select)
    search.match = match
    found = size(program)
    search.passes.append(PassRecord(name, round(seconds, 2), found.statements, found.opaque, round(match, 6)))
    return match


def _token_table(header: Header, batches: Sequence[Batch]) -> Program:
    """The program that looks at the current token alone: the least there is, and what is left where nothing better is found."""
    device = batches[0].model_logits.device
    total = torch.zeros(len(header.vocabulary), len(header.vocabulary), device=device)
    counts = torch.zeros(len(header.vocabulary), 1, device=device)
    for batch in batches:
        ids = batch.token_ids[batch.scored]
        total.index_add_(0, ids, batch.model_logits)
        counts.index_add_(0, ids, torch.ones(len(ids), 1, device=device))
    table = (total / counts.clamp(min=1)).double().cpu().numpy()
    return Program(header, (Project("logits0", TOKEN, Dense("B0")), Prediction(("logits0",))), {"B0": table})


def _choose(context: Context, settings: Settings, search: _Search) -> Program:
    """The smallest candidate that still matches on sequences that no choice was made by; else the smallest as good as the best, within one
    standard error.

    The last that the search found is the first to be tried, as most often it is the smallest; where it falls short, as lines were removed
    up to the edge of what match bears, it is fitted once more. Then by bisection, as a short time may not do for all of them, then whatever
    smaller one was passed over. Where that is cut short and none but the current-token table was tried, the last is taken.
    """
    search.phase, search.deadline = "choosing", search.journal.start + CHOICE_SHARE * settings.time
    wanted = _to_hold(settings)
    candidates = sorted(search.candidates, key=complexity)
    last = next(place for place, candidate in enumerate(candidates) if candidate is search.candidates[-1])
    found: dict[int, float] = {}

    def good_enough() -> float:
        best = max(found.values(), default=0.0)
        return best - sqrt(best * (1 - best) / VERIFIED)

    def holds(place: int) -> bool:
        if place not in found:
            search.trying("on further sequences", candidates[place])
            found[place] = context.match(candidates[place], context.verify, min(wanted, good_enough()))
        return found[place] >= wanted

    low, high = 0, len(candidates)
    cut_short = False
    try:
        if not holds(last) and found[last] >= wanted - HOPELESS:
            plain, match = candidates[last], found[last]
            candidates[last] = _fitted(plain, context, settings, search)
            if candidates[last] is not plain:
                del found[last]
            if not holds(last) and found[last] < match:
                candidates[last], found[last] = plain, match
        middle = last
        while low < high:
            if holds(middle):
                high = middle
            else:
                low = middle + 1
            middle = (low + high) // 2
        for place in range(high):
            if place not in found and holds(place):
                high = place
                break
    except (KeyboardInterrupt, TimeIsUp) as stop:
        cut_short = True
        if isinstance(stop, KeyboardInterrupt):
            search.interrupt()
        else:
            search.stopped_by_time = True
    if high < len(candidates):
        return candidates[high]
    best = next((place for place in sorted(found) if found[place] >= good_enough()), 0)
    return candidates[last] if cut_short and candidates[best] is search.candidates[0] else candidates[best]


def _fitted(program: Program, context: Context, settings: Settings, search: _Search) -> Program:
    """A program fitted to more sequences a step than the search has time for; as it is where half of the time left is too short."""
    how, deadline = _exact(settings.match), search.deadline
    search.trying("refitted", program)
    search.deadline = (search.journal.start + search.journal.seconds() + deadline) / 2
    try:
        return fit(program, context, how.targets, how.steps, how.rate, settings.seed, LONG_BATCHES)
    except TimeIsUp:
        return program
    finally:
        search.deadline = deadline
