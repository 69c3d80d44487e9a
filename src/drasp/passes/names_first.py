"""Pass: the whole model in symbols, read off the model itself: which averages its output needs, what its heads attend to, what it makes
of that. Nothing is expanded, and only a program's few numbers are ever fitted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.seeds import Stream
from drasp.ir.nodes import Select
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Edges
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.strengths import fit_attention, fit_strengths
from drasp.learn.trial import Doing, Found, Steps, Trial
from drasp.learn.values import Source, attended, sources, value_circuit
from drasp.model.frozen import FrozenTransformer
from drasp.naming.attention import How
from drasp.naming.inside import Inside, Seen, describe_heads
from drasp.naming.judged import Judged, Judging, as_sets
from drasp.naming.logits import Answered, logit_readouts
from drasp.naming.readout import Named, name_readout
from drasp.naming.samples import edited, random_strings
from drasp.naming.tuning import ReadoutTuning
from drasp.passes.aim import Aim
from drasp.passes.circuit import header_of
from drasp.passes.faith import Faith, StandsFor
from drasp.passes.shorten import shortened
from drasp.run.swaps import SWAPS
from drasp.tasks.protocol import Sample


def names_first(edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The best program in symbols that was found; None where there is none."""
    tuning, aim = aim.names, _of_what_is_right(aim, oracle)
    yield Doing("what the heads move")
    sequences = attended(oracle, tuning.values, budget)
    how = How(tuning.inside.attention, np.random.default_rng([oracle.seed, Stream.NAMING]), budget.spend)
    inside = Inside(header_of(oracle.study), edges.wired.layers, edges.wired.heads, tuning.inside)
    seen = [Seen(part.batch.sample, {head: w.cpu().numpy() for head, w in part.attention.items()}) for part in sequences]
    swapping = _labelled_batches(oracle, aim)[:: aim.naming.samples.edited_every]
    faith = Faith(edges, FrozenTransformer(oracle.study.transformer, oracle.device), sequences, swapping, budget)
    given = _Given(oracle, aim, budget, how, faith, seen, inside)
    best = _Best()
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


def _of_what_is_right(aim: Aim, oracle: Oracle) -> Aim:
    """Where the model errs too often for the match that is asked, that of what it gets right: a short program seldom errs alike. Of a model
    that is seldom right it stays all of it.
    """
    accuracy = oracle.pools.accuracy
    errs = min(accuracy) < aim.threshold and sum(accuracy) / len(accuracy) >= aim.least
    return replace(aim, threshold=aim.threshold * min(accuracy)) if errs else aim


@dataclass(frozen=True)
class _Given:
    """What a program is read off."""

    oracle: Oracle
    aim: Aim
    budget: Budget
    how: How
    faith: Faith
    seen: Sequence[Seen]
    inside: Inside

    def within(self, budget: Budget) -> "_Given":
        """The same within a slice of the budget."""
        return replace(self, budget=budget, how=replace(self.how, spend=budget.spend), faith=replace(self.faith, budget=budget))


def _behind_ever_closer_heads(given: _Given, needed: Sequence[Source], best: "_Best") -> Steps["_Best"]:
    """The best program with heads described, ever more closely as long as that is worth its while, and its readout named behind them."""
    inside, aim = given.inside, given.aim
    for near in inside.tuning.near:
        if (yield from describe_heads(inside, given.seen, needed, near, given.how)) or near == inside.tuning.near[0]:
            found = yield from _read_out(given, inside.program(needed), best, best)
            best = yield from _fitted(given, found, best)
        if best.match >= aim.threshold:
            break
    if (best.enough or best.match >= aim.threshold) and not _settled(given, best):
        best = yield from _made_faithful(given, needed, best)
    return best


@dataclass(frozen=True)
class _Best:
    """The best program so far.

    Attributes:
        heads: of the model, for each of its averages.
        patched: how often the model predicts the same with the program's attention in the place of its own.
        wanted: what that must be: what is asked, or what the program matches there.
        swapped: how often both predict the same after a swap that changes something, of the averages for which that is lowest.
        enough: whether it matches as well as is worth having, over all lengths.
    """

    program: Program | None = None
    match: float = 0.0
    heads: StandsFor = field(default_factory=dict)
    patched: float = 0.0
    wanted: float = 1.0
    swapped: float = 0.0
    enough: bool = False

    @property
    def attends(self) -> bool:
        """Whether the model with the program's attention does as well."""
        return self.program is not None and self.patched >= self.wanted

    def faithful(self, aim: Aim) -> bool:
        """Whether its averages are what the heads hold, too."""
        return self.attends and self.swapped >= aim.names.swapped


def _measured(given: _Given, program: Program, match: float) -> _Best:
    """A program whose averages stand for the heads as they are described now."""
    return _with_faith(given, _Best(program, match, given.inside.averages()))


def _with_faith(given: _Given, best: _Best) -> _Best:
    """With what the model says of its attention, and, where that is the model's, of its averages."""
    assert best.program is not None
    wanted = min(given.aim.threshold, given.faith.wanted(best.program))
    patched = replace(best, patched=given.faith.patched_match(best.program, best.heads), wanted=wanted)
    return replace(patched, swapped=given.faith.swap_match(best.program, best.heads)) if patched.attends else patched


def _read_out(given: _Given, program: Program, found: _Best, best: _Best) -> Steps[_Best]:
    """The best of the programs with described heads, their readout named; or the one before, if none is better.

    Args:
        best: what a program must be better than to be kept.
    """
    yield Doing("naming the readout", program)
    aim = given.aim

    def faithful() -> bool:
        return found.faithful(aim)

    most = given.budget.next(1.0, aim.names.readout_seconds)
    try:
        for named in _readouts(given, program, replace(given.how, spend=most.spend), faithful):
            as_good = min(found.match, aim.threshold)
            match = yield Trial(named.program, "the readout named", as_good)
            if match >= as_good and _worth(candidate := _measured(given, named.program, match), aim) > _worth(found, aim):
                found = candidate
                if _worth(found, aim) > _worth(best, aim):
                    yield Found(named.program)
    except OutOfBudget:
        given.oracle.journal.stopped(given.budget)
        given.budget.check()
    return (yield from _judged(found, aim))


def _worth(best: _Best, aim: Aim) -> tuple[float, int]:
    """Match as far as it is asked for, then length; a little more length for attention that is the model's, and for averages."""
    if best.program is None:
        return (0.0, 0)
    faith = aim.names.faithful_worth * (best.attends + best.faithful(aim))
    return (min(best.match, aim.threshold), faith - _length(best.program))


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
        found = _measured(given, fitted, match)
    return (yield from _judged(found, aim))


def _settled(given: _Given, best: _Best) -> bool:
    """Whether nothing more is to be gained: with several layers no closer attention makes averages what the heads hold."""
    return best.faithful(given.aim) or (best.attends and given.inside.layers > 1)


def _made_faithful(given: _Given, needed: Sequence[Source], best: _Best) -> Steps[_Best]:
    """A program whose heads leave alike what the model decides with their attention, which is fitted for that, described exactly if need
    be; its readout is named behind them. The one before, where that fails.
    """
    inside, aim, wanted = given.inside, given.aim, best.wanted
    limited = given.within(given.budget.next(1.0, aim.names.faithful_seconds))
    try:
        for near in (inside.tuning.near[-1], None):
            yield from describe_heads(inside, given.seen, needed, near, limited.how)
            fitted = yield from _heads_fitted(limited, inside.program(needed), wanted)
            if fitted is not None:
                inside.take({s.name: s for s in fitted.statements if isinstance(s, Select)})
                read = yield from _read_out(limited, inside.program(needed), _Best(), best)
                tuned = yield from _fitted(limited, read, _Best())
                found = tuned if tuned.attends else read
                if (
                    found.attends
                    and found.enough >= best.enough
                    and found.match >= min(best.match, aim.threshold) - aim.names.faithful_match
                ):
                    best = found
                if _settled(given, best):
                    break
    except OutOfBudget:
        given.oracle.journal.stopped(given.budget)
        given.budget.check()
    return best


def _heads_fitted(given: _Given, program: Program, wanted: float) -> Steps[Program | None]:
    """The program with the numbers of its heads such that the model decides alike with their attention; None where none do."""
    how, faith, heads = given.aim.names.fit, given.faith, given.inside.averages()
    match = faith.patched_match(program, heads)
    for round_ in range(how.rounds if any(isinstance(s, Select) for s in program.statements) else 0):
        if match >= wanted:
            break
        yield Doing("fitting its heads in the model", program)
        schedule = Schedule(how, how.rate / (round_ + 1), given.oracle.seed + round_)
        patched = faith.patched(program, heads)
        program = fit_attention(program, patched, faith.attended, schedule, given.aim.names.digits, given.budget)
        before, match = match, faith.patched_match(program, heads)
        if match <= before:
            break
    return program if match >= wanted else None


def _keeps_faith(given: _Given, best: _Best) -> Callable[[Program], bool]:
    """Whether a shorter program keeps what the model does with its attention, and hangs on no rounding where the program does not."""
    assert best.program is not None
    steady = given.faith.steady(best.program)

    def keeps(program: Program) -> bool:
        if steady and not given.faith.steady(program):
            return False
        if not best.attends:
            return True
        shorter = replace(best, program=program, patched=given.faith.patched_match(program, best.heads))
        if not shorter.attends or not best.faithful(given.aim):
            return shorter.attends
        return replace(shorter, swapped=given.faith.swap_match(program, best.heads)).faithful(given.aim)

    return keeps


def _length(program: Program) -> int:
    counted = size(program)
    return 2 * counted.statements + counted.numbers


def _readouts(given: _Given, program: Program, how: How, faithful: Callable[[], bool]) -> Iterator[Named]:
    """The program with its readout named, in one way after the other, labelled by the model.

    Args:
        faithful: whether what was found says what the heads hold, so that none need be fitted to that.
    """
    oracle, tuning, predict = given.oracle, given.aim.naming, given.oracle.task.predict
    batches = _labelled_batches(oracle, given.aim)
    answered = [Answered(batch.sample, _probabilities(batch.model_logits)) for batch in batches]
    real = [Judged(a.sample, as_sets(b.model_logits.cpu().numpy(), predict)) for a, b in zip(answered, batches, strict=True)]
    few = [a.sample for a in answered[:: tuning.samples.edited_every]]
    strings = random_strings(program, [a.sample for a in answered], tuning.samples, how.rng)
    off = [_labelled(sample, oracle, how) for sample in (*strings, *(edited(sample, program, how.rng) for sample in few))]
    judging = Judging(real, off, how.spend)

    def swapped() -> Iterator[tuple[Judging, ReadoutTuning]]:
        for kind in SWAPS:
            if not faithful() and (found := given.faith.swaps(program, given.inside.averages(), kind)):
                yield Judging(real, found, how.spend), given.aim.names.swapped_readout

    if predict == "next-token":
        yield from logit_readouts(program, answered, judging, how, given.aim.names.logits)
    yield from name_readout(program, program, judging, tuning.readout, swapped())


def _labelled_batches(oracle: Oracle, aim: Aim) -> list[Batch]:
    """The sequences that readouts are named on."""
    return [*oracle.short[:: aim.naming.samples.short_every], *oracle.long[:: aim.naming.samples.long_every]]


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.softmax(-1).cpu().numpy()


def _labelled(sample: Sample, oracle: Oracle, how: How) -> Judged:
    """Sequences with what the model predicts."""
    how.spend(oracle.study.work)
    logits = oracle.study.oracle(sample.token_ids, sample.position_ids).cpu().numpy()
    return Judged(sample, as_sets(logits[sample.scored], oracle.task.predict))
