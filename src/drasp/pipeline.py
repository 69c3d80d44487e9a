"""From a trained Transformer to a program with its evidence: the passes in order, and the runner that times and measures them."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from math import sqrt
from typing import Any, Literal

import numpy as np
import torch

from drasp.core.budget import Budget
from drasp.evidence.examples import examples
from drasp.evidence.interchange import interchange
from drasp.evidence.language import language
from drasp.evidence.mistakes import mistakes
from drasp.evidence.off_task import off_task
from drasp.frontier import STATEMENTS_AT_MOST, Frontier, Point, listing
from drasp.ir.nodes import TOKEN, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.ir.size import size
from drasp.journal import Journal, TimeIsUp
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.learn.trial import Found, Steps, Trial
from drasp.measure import (
    Banded,
    Judge,
    Predictor,
    Z,
    baselines,
    line_costs,
    make_judge,
    model_accuracy,
    numpy_logits,
    predictor,
    program_match,
    trivial,
)
from drasp.model.forward import TorchTransformer
from drasp.model.given import Model, as_transformer, check_fit
from drasp.model.transformer import Transformer
from drasp.model.wiring import Wiring
from drasp.naming.named import NamingAim, named, named_whole
from drasp.naming.pieces import Naming
from drasp.passes.components import Stage, prune_components
from drasp.passes.context import SELECTED, VERIFIED, Context, make_context
from drasp.passes.fit import fit
from drasp.passes.pools import Batch, Subject, make_batches
from drasp.passes.prune import SearchSettings, complexity, cut_by_rank, eliminate, fit_constants, linearise, sweep
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify
from drasp.rewrite.tidy import tidy
from drasp.run.threads import one_thread
from drasp.tasks.protocol import Task
from drasp.tasks.sampling import SuiteTask
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
EVIDENCE_SEQUENCES = 20_000
FEWEST_SEQUENCES = 1_200  # however short the time, if the program is short enough: 400 a band just suffice for an interval above 0.99
EVIDENCE_SHARE = 0.94  # of the time, by when the last line cost is begun
JUDGING_SHARE = 0.5  # of the time that is left for the evidence; the rest is for baselines and line costs
TRIAL_SEQUENCES, TRIAL_STATEMENTS = 300, 2_500  # how many sequences at the most, and how many times they have statements
TRIAL_AT_LEAST = 6  # sequences, however large the program
TRIAL_SHARE = 0.1  # of the time that is left for the evidence, at the most: else the least number of them is the trial
FITTING_AT_LEAST = 30  # sequences that the trivial baselines are read off
LINE_SHARE = 8  # line costs are measured on every eighth chunk of them
KIND_SECONDS = 10.0  # about as long may it take to run off the task, and as long to swap
OFF_TASK_SHARE, PAIRS_SHARE = 10, 20  # the parts of the judge's number of sequences that they get at the most
OFF_TASK_RUNS, PAIR_RUNS = 2.5, 6.0  # how many runs of program and model each of those takes, about
# Seeds apart from those of the search.
EVIDENCE_STREAM, FITTING_STREAM, TRIAL_STREAM, OFF_TASK_STREAM, PAIRS_STREAM, EXAMPLES_STREAM = 101, 102, 103, 104, 105, 106


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
    """A program and the evidence for it, as `evidence.json` holds it.

    Attributes:
        frontier: what else the search met, from small to large, the program among them.
    """

    program: Program
    evidence: dict[str, object]
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
    passes: list[dict[str, object]] = field(default_factory=list)
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

    Raises:
        DraspError: the model is none of these or is not supported, or the task does not fit it.
    """
    transformer = as_transformer(model)
    task = load_task(task) if isinstance(task, str) else task
    check_fit(transformer, task, settings.lengths, "the model")
    with one_thread(True):  # several batches are worked on at once instead
        journal = journal or Journal()
        journal.start = (time.monotonic() if start is None else start) - journal.used
        return _decompile(transformer, task, settings, report, journal)


def _decompile(
    transformer: Transformer, task: Task, settings: Settings, report: Callable[[Progress], None], journal: Journal
) -> Decompilation:
    start = journal.start
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device)
    header = Header(task.vocabulary, transformer.positions, task.predict, getattr(task, "order", None))
    search = _Search(report, start + SEARCH_SHARE * settings.time, settings.statements, journal)
    oracle = TorchTransformer(transformer, device=device)
    chosen = _find(transformer, header, task, settings, search, oracle)
    program = tidy(chosen.program)
    new_names = dict(zip((s.name for s in chosen.program.statements), (s.name for s in program.statements), strict=True))
    named = [piece.as_json(new_names) for piece in chosen.pieces]
    program = parse(print_program(program), program.operators)  # what is judged is what is saved
    search.phase = "measuring the evidence"
    try:
        report(Progress(search.phase, "fresh sequences", len(program.statements), None, time.monotonic() - start))
        evidence = _evidence(program, transformer, task, settings, search, oracle, start + EVIDENCE_SHARE * settings.time)
    except KeyboardInterrupt:
        search.interrupt()
        evidence = _evidence(program, transformer, task, settings, search, oracle, start)
    match: Any = evidence["match"]
    result = Point(program, min(band["accuracy"] for band in match["bands"]), "evidence")
    frontier = tuple(p if p is result else replace(p, program=tidy(p.program)) for p in search.frontier.with_result(result))
    seconds = round(time.monotonic() - start, 2)
    return Decompilation(program, evidence | {"named": named, "frontier": listing(frontier), "seconds": seconds}, frontier)


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
    found = _answered(named_whole(program, context, _naming_aim(context, settings), _Deadline(context)), context, lambda what: None)
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

        def keep(found: Naming) -> None:
            nonlocal best, began
            if size(found.program).opaque < size(best.program).opaque and _holds(found.program, context, settings):
                best = found
                _record(search, context, search.phase, found.program, began)
            began, search.phase = search.journal.seconds(), "naming again"

        _answered(named(program, context, _naming_aim(context, settings), _Deadline(context)), context, keep)
    except KeyboardInterrupt:
        search.interrupt()
    except TimeIsUp:
        search.stopped_by_time = True
    return best


class _Deadline(Budget):
    """A budget that is spent when the context says so."""

    def __init__(self, context: Context) -> None:
        super().__init__(0.0, 0.0)
        object.__setattr__(self, "check", context.check_time)


def _naming_aim(context: Context, settings: Settings) -> NamingAim:
    how = _exact(settings.match)

    def pruned(program: Program) -> Steps[Program]:
        yield from ()
        return eliminate(program, replace(context, found=lambda smaller: None), how)

    return NamingAim(how.threshold, pruned)


def _answered(steps: Any, context: Context, keep: Callable[[Naming], None]) -> Any:
    """Answers a pass until it returns."""
    try:
        step: Any = next(steps)
        while True:
            answer = 0.0
            what: Any = getattr(step, "candidate", None) or getattr(step, "what", None)
            if isinstance(step, Trial):
                answer = context.match(what, getattr(context, step.pool), step.at_least)
            elif isinstance(step, Found):
                keep(what)
            else:
                context.report(step.trying, step.program)
            step = steps.send(answer)
    except StopIteration as end:
        return end.value


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
    search.passes.append(
        {
            "name": name,
            "seconds": round(seconds, 2),
            "statements": found.statements,
            "opaque": found.opaque,
            "match": round(match, 6),
        }
    )
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


def _evidence(
    program: Program,
    transformer: Transformer,
    task: Task,
    settings: Settings,
    search: _Search,
    oracle: TorchTransformer,
    deadline: float,
) -> dict[str, object]:
    """What `evidence.json` holds. Where time is short, on fewer sequences, and without what no time was left for."""
    model = numpy_logits(oracle)

    def drawn(count: int, stream: int) -> Judge:
        return make_judge(task, model, settings.lengths, count, np.random.default_rng([settings.seed, stream]))

    def timed(count: int) -> float:
        """About how many seconds a sequence takes."""
        began = time.monotonic()
        program_match(program, drawn(count, TRIAL_STREAM))
        return (time.monotonic() - began) / count

    trial = max(TRIAL_AT_LEAST, min(TRIAL_SEQUENCES, TRIAL_STATEMENTS // len(program.statements)))
    seconds = timed(TRIAL_AT_LEAST)
    if TRIAL_AT_LEAST < trial < TRIAL_SHARE * (deadline - time.monotonic()) / seconds:
        seconds = timed(trial)
    affordable = int(JUDGING_SHARE * (deadline - time.monotonic()) / seconds)
    fewest = FEWEST_SEQUENCES if len(program.statements) <= settings.statements else TRIAL_AT_LEAST  # no verdict hangs on them
    sequences = min(EVIDENCE_SEQUENCES, max(fewest, affordable))
    judge = drawn(sequences, EVIDENCE_STREAM)
    fitting = drawn(max(FITTING_AT_LEAST, sequences // 10), FITTING_STREAM)
    predicted, trivially = predictor(program, judge), trivial(fitting)
    match = judge.score(lambda c: c.right(predicted(c), c.model))
    return {
        "verdict": verdict(program, match, settings),
        "interrupted": search.interrupted,
        "stopped_by_time": search.stopped_by_time,
        **({} if search.reason is None else {"reason": search.reason}),
        "match": match.as_json(),
        "task": judge.score(lambda c: c.right(predicted(c), c.truth)).as_json(),
        "model_task": model_accuracy(judge).as_json(),
        "baseline": {name: found.as_json() for name, found in baselines(judge, fitting).items()},
        "mistakes": mistakes(judge, predicted, trivially),
        "lines": line_costs(program, judge.thinned(LINE_SHARE), deadline),
        "examples": examples(task, model, settings.lengths, np.random.default_rng([settings.seed, EXAMPLES_STREAM])),
        **(
            _slow_evidence(program, task, settings, search, oracle, sequences, seconds, trivially, deadline)
            if settings.evidence == "full"
            else {}
        ),
        "size": asdict(size(program)),
        "passes": search.passes,
        "seed": settings.seed,
        "settings": {**asdict(settings), "lengths": list(settings.lengths), "task": task.name},
        "versions": {"drasp": version("drasp"), "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "model": {
            "sha256": transformer.sha256,
            "layers": len(transformer.blocks),
            "heads": transformer.heads,
            "width": transformer.width,
        },
    }


def _slow_evidence(
    program: Program,
    task: Task,
    settings: Settings,
    search: _Search,
    oracle: TorchTransformer,
    sequences: int,
    seconds: float,
    trivially: Mapping[str, Predictor],
    deadline: float,
) -> dict[str, object]:
    """The kinds of evidence for which time is left, each of them whole.

    Args:
        sequences: on how many match was measured. seconds: how long one of them takes, about.
    """
    model, lengths = numpy_logits(oracle), settings.lengths

    strings = min(sequences // OFF_TASK_SHARE, int(KIND_SECONDS / (OFF_TASK_RUNS * seconds)) + 1)
    pairs = min(sequences // PAIRS_SHARE, int(KIND_SECONDS / (PAIR_RUNS * seconds)) + 1)

    def check_time() -> None:
        if time.monotonic() > deadline:
            raise TimeIsUp

    def rng(stream: int) -> np.random.Generator:
        return np.random.default_rng([settings.seed, stream])

    kinds: dict[str, Callable[[], dict[str, object] | None]] = {
        "off_task": lambda: off_task(program, task, model, lengths, strings, rng(OFF_TASK_STREAM), check_time),
        "interchange": lambda: interchange(program, task, oracle, lengths, pairs, rng(PAIRS_STREAM), check_time),
        "language": lambda: language(program, task, model, lengths, trivially, check_time) if isinstance(task, SuiteTask) else None,
    }
    found: dict[str, object] = {}
    for kind, measure in kinds.items():
        try:
            check_time()
            search.report(Progress(search.phase, kind.replace("_", " "), len(program.statements), None, search.journal.seconds()))
            found[kind] = measure()
        except TimeIsUp:
            pass
    return found


def verdict(program: Program, match: Banded, settings: Settings) -> str:
    """`decompiled`, `pruned` or `not decompiled`: see the README."""
    if match.worst.interval[0] < settings.match or size(program).statements > settings.statements:
        return "not decompiled"
    return "decompiled" if within_limits(program, settings) else "pruned"


def within_limits(program: Program, settings: Settings) -> bool:
    """Whether a program is small and symbolic enough to be called decompiled."""
    found = size(program)
    return found.statements <= settings.statements and found.numbers <= settings.numbers and found.opaque == 0
