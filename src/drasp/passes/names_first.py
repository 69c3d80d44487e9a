"""Pass: the whole model in symbols, read off the model itself: which averages its output needs, what its heads attend to, what it makes
of that. Nothing is expanded, and only a program's few numbers are ever fitted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.seeds import Stream
from drasp.ir.nodes import Aggregate, Select, Statement
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Edges
from drasp.learn.oracle import Oracle
from drasp.learn.strengths import fit_attention, fit_strengths
from drasp.learn.trial import Doing, Found, Steps, Trial
from drasp.learn.values import Attended, Patched, Source, attended, sources, value_circuit
from drasp.model.frozen import FrozenTransformer
from drasp.naming.attention import How
from drasp.naming.inside import Inside, Seen, describe_heads
from drasp.naming.judged import Judged, Judging, as_sets
from drasp.naming.logits import Answered, logit_readouts
from drasp.naming.readout import Named, name_readout
from drasp.naming.samples import edited, random_strings
from drasp.passes.aim import Aim
from drasp.passes.circuit import header_of
from drasp.passes.shorten import shortened
from drasp.tasks.protocol import Sample


def names_first(edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The best program in symbols that was found; None where there is none."""
    tuning = aim.names
    yield Doing("what the heads move")
    sequences = attended(oracle, tuning.values, budget)
    how = How(tuning.inside.attention, np.random.default_rng([oracle.seed, Stream.NAMING]), budget.spend)
    inside = Inside(header_of(oracle.study), edges.wired.layers, edges.wired.heads, tuning.inside)
    frozen = FrozenTransformer(oracle.study.transformer, oracle.device)
    seen = [Seen(part.batch.sample, {head: w.cpu().numpy() for head, w in part.attention.items()}) for part in sequences]
    given = _Given(edges, oracle, aim, budget, how, sequences, seen, inside, frozen)
    best = _Best(None, 0.0)
    needed: tuple[Source, ...] | None = None
    for least in (aim.least, aim.threshold):  # the fewer averages are read, the shorter the program
        before, needed = needed, sources(value_circuit(edges, sequences, least, tuning.values, budget))
        if needed != before:
            best = yield from _behind_ever_closer_heads(given, needed, best)
        if best.enough:
            break
    if best.program is None or not best.enough:
        return best.program
    yield Found(best.program)
    return (yield from shortened(best.program, best.match, _keeps_faith(given, best)))


@dataclass(frozen=True)
class _Given:
    """What a program is read off."""

    edges: Edges
    oracle: Oracle
    aim: Aim
    budget: Budget
    how: How
    sequences: Sequence[Attended]
    seen: Sequence[Seen]
    inside: Inside
    frozen: FrozenTransformer


def _behind_ever_closer_heads(given: _Given, needed: Sequence[Source], best: "_Best") -> Steps["_Best"]:
    """The best program with heads described, ever more closely as long as that is worth its while, and its readout named behind them."""
    inside, aim = given.inside, given.aim
    for near in inside.tuning.near:
        if (yield from describe_heads(inside, given.seen, needed, near, given.how)) or near == inside.tuning.near[0]:
            found = yield from _read_out(given, inside.program(needed), best)
            best = yield from _fitted(given, found, best)
        if best.match >= aim.threshold or (best.enough and inside.layers > 1):
            break
    if best.match >= aim.threshold and not best.faithful:
        best = yield from _made_faithful(given, needed, best)
    return best


@dataclass(frozen=True)
class _Best:
    """The best program so far.

    Attributes:
        enough: whether it matches as well as is worth having, over all lengths.
        faithful: whether it matches as asked, and the model too with its attention in the place of its own.
    """

    program: Program | None
    match: float
    enough: bool = False
    faithful: bool = False


def _read_out(given: _Given, program: Program, best: _Best) -> Steps[_Best]:
    """The best of the programs with described heads, their readout named; or the one before, if none is better."""
    yield Doing("naming the readout", program)
    aim, found = given.aim, best
    most = given.budget.next(1.0, aim.names.readout_seconds)
    try:
        for named in _readouts(program, given.oracle, aim, replace(given.how, spend=most.spend)):
            match = yield Trial(named.program, "the readout named", min(found.match, aim.threshold))
            faithful = match >= aim.threshold and _patched_match(given, named.program) >= aim.threshold
            candidate = _Best(named.program, match, faithful=faithful)
            if _worth(candidate, aim) > _worth(found, aim):
                found = candidate
                yield Found(named.program)
    except OutOfBudget:
        given.oracle.journal.stopped(given.budget)
        given.budget.check()
    return (yield from _judged(found, aim))


def _worth(best: _Best, aim: Aim) -> tuple[float, int]:
    """Match as far as it is asked for, then length; a faithful program may be a little longer."""
    if best.program is None:
        return (0.0, 0)
    return (min(best.match, aim.threshold), (aim.names.faithful_worth if best.faithful else 0) - _length(best.program))


def _judged(best: _Best, aim: Aim) -> Steps[_Best]:
    """Whether it is enough."""
    if best.program is None or best.enough:
        return best
    over_all = yield Trial(best.program, "over all lengths", aim.least, over="all")
    return replace(best, enough=over_all >= aim.least)


def _fitted(given: _Given, found: _Best, best: _Best) -> Steps[_Best]:
    """What was found, its numbers fitted together as long as that makes it better; nothing is done where nothing was found."""
    how, aim = given.aim.names.fit, given.aim
    for round_ in range(how.rounds):
        if found.program is None or found == best or found.match >= aim.threshold:
            break
        yield Doing("fitting its numbers together", found.program)
        schedule = Schedule(how, how.rate, given.oracle.seed + round_)
        fitted = fit_strengths(found.program, given.oracle, schedule, aim.names.digits, given.budget)
        match = yield Trial(fitted, "its numbers fitted together", found.match)
        if match <= found.match:
            break
        found = _Best(fitted, match)
    return (yield from _judged(found, aim))


def _patched(given: _Given, program: Program) -> Patched:
    """The model with the heads that a program describes patched, and those that it lacks ablated."""
    selectors = {s.name: s.selectors for s in program.statements if isinstance(s, Aggregate)}
    heads = {head: selectors[name] for name, heads in given.inside.averages().items() if name in selectors for head in heads}
    lacking = [i for i, (_, sender) in enumerate(given.edges.wired.edges) if sender.kind == "head" and sender not in heads]
    left = given.edges.without(given.edges.whole, lacking)
    return Patched(left, given.oracle, given.frozen, heads)


def _patched_match(given: _Given, program: Program) -> float:
    return _patched(given, program).match(program, given.sequences, given.budget)


def _made_faithful(given: _Given, needed: Sequence[Source], best: _Best) -> Steps[_Best]:
    """A program whose heads leave alike what the model decides with their attention, which is fitted for that, described exactly if need
    be; its readout is named behind them. The one before, where that fails.
    """
    inside = given.inside
    for near in (inside.tuning.near[-1], None):
        yield from describe_heads(inside, given.seen, needed, near, given.how)
        fitted = yield from _heads_fitted(given, inside.program(needed))
        if fitted is not None:
            inside.take({s.name: s for s in fitted.statements if isinstance(s, Select)})
            found = yield from _read_out(given, inside.program(needed), best)
            if found.faithful:
                return found
    return best


def _heads_fitted(given: _Given, program: Program) -> Steps[Program | None]:
    """The program with the numbers of its heads such that the model decides alike with their attention; None where none do."""
    how, aim, patched = given.aim.names.fit, given.aim, _patched_match(given, program)
    for round_ in range(how.rounds if any(isinstance(s, Select) for s in program.statements) else 0):
        if patched >= aim.threshold:
            break
        yield Doing("fitting its heads in the model", program)
        schedule = Schedule(how, how.rate / (round_ + 1), given.oracle.seed + round_)
        program = fit_attention(program, _patched(given, program), given.sequences, schedule, aim.names.digits, given.budget)
        before, patched = patched, _patched_match(given, program)
        if patched <= before:
            break
    return program if patched >= aim.threshold else None


def _keeps_faith(given: _Given, best: _Best) -> Callable[[Program], bool]:
    """Whether a shorter program keeps what the model does with its attention."""
    known: dict[tuple[Statement, ...], bool] = {}

    def keeps(program: Program) -> bool:
        if not best.faithful:
            return True
        attention = tuple(s for s in program.statements if isinstance(s, Select | Aggregate))
        if attention not in known:
            known[attention] = _patched_match(given, program) >= given.aim.threshold
        return known[attention]

    return keeps


def _length(program: Program) -> int:
    counted = size(program)
    return 2 * counted.statements + counted.numbers


def _readouts(program: Program, oracle: Oracle, aim: Aim, how: How) -> Iterator[Named]:
    """The program with its readout named, in one way after the other, labelled by the model."""
    tuning = aim.naming
    batches = [*oracle.short[:: tuning.samples.short_every], *oracle.long[:: tuning.samples.long_every]]
    answered = [Answered(batch.sample, _probabilities(batch.model_logits)) for batch in batches]
    real = [Judged(a.sample, as_sets(b.model_logits.cpu().numpy(), program)) for a, b in zip(answered, batches, strict=True)]
    few = [a.sample for a in answered[:: tuning.samples.edited_every]]
    strings = random_strings(program, [a.sample for a in answered], tuning.samples, how.rng)
    off = [*strings, *(edited(sample, program, how.rng) for sample in few)]
    judging = Judging(real, [_labelled(program, sample, oracle, how) for sample in off], how.spend)
    if oracle.task.predict == "next-token":
        yield from logit_readouts(program, answered, judging, how, aim.names.logits)
    yield from name_readout(program, program, judging, tuning.readout)


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.softmax(-1).cpu().numpy()


def _labelled(program: Program, sample: Sample, oracle: Oracle, how: How) -> Judged:
    """Sequences with what the model predicts."""
    how.spend(oracle.study.work)
    logits = oracle.study.oracle(sample.token_ids, sample.position_ids).cpu().numpy()
    return Judged(sample, as_sets(logits[sample.scored], program))
