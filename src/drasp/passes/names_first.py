"""Pass: the whole model in symbols, read off the model itself: which averages its output needs, what its heads attend to, what it makes
of that. No gradient, no refit, no expansion.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.seeds import Stream
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Edges
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Batch
from drasp.learn.strengths import fit_strengths
from drasp.learn.trial import Doing, Found, Steps, Trial
from drasp.learn.values import Source, attended, sources, value_circuit
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
    seen = [Seen(_sample(part.batch), {head: weights.cpu().numpy() for head, weights in part.attention.items()}) for part in sequences]
    inside = Inside(header_of(oracle.study), edges.wired.layers, edges.wired.heads, tuning.inside)
    best = _Best(None, 0.0)
    needed: tuple[Source, ...] | None = None
    for least in (aim.least, aim.threshold):  # the fewer averages are read, the shorter the program
        before, needed = needed, sources(value_circuit(edges, sequences, least, tuning.values, budget))
        if needed == before:
            continue
        for near in tuning.inside.near:
            if (yield from describe_heads(inside, seen, needed, near, how)) or near == tuning.inside.near[0]:
                found = yield from _read_out(inside.program(needed), best, oracle, aim, budget, how)
                best = yield from _fitted(found, best, oracle, aim, budget)
            if best.match >= aim.threshold or (best.enough and edges.wired.layers > 1):
                break
        if best.enough:
            break
    if best.program is None or not best.enough:
        return best.program
    yield Found(best.program)
    return (yield from shortened(best.program, best.match))


@dataclass(frozen=True)
class _Best:
    """The best program so far.

    Attributes:
        enough: whether it matches as well as is worth having, over all lengths.
    """

    program: Program | None
    match: float
    enough: bool = False


def _read_out(program: Program, best: _Best, oracle: Oracle, aim: Aim, budget: Budget, how: How) -> Steps[_Best]:
    """The best of the programs with described heads, their readout named; or the one before, if none is better."""
    yield Doing("naming the readout", program)
    most = budget.next(1.0, aim.names.readout_seconds)
    try:
        for named in _readouts(program, oracle, aim, replace(how, spend=most.spend)):
            found = named.program
            match = yield Trial(found, "the readout named", min(best.match, aim.threshold))
            worth = min(match, aim.threshold)
            shorter = best.program is None or _length(found) < _length(best.program)
            if worth > min(best.match, aim.threshold) or (worth == min(best.match, aim.threshold) and shorter):
                best = _Best(found, match)
    except OutOfBudget:
        oracle.journal.stopped(budget)
        budget.check()
    return (yield from _judged(best, aim))


def _judged(best: _Best, aim: Aim) -> Steps[_Best]:
    """Whether it is enough."""
    if best.program is None or best.enough:
        return best
    over_all = yield Trial(best.program, "over all lengths", aim.least, over="all")
    return replace(best, enough=over_all >= aim.least)


def _fitted(found: _Best, best: _Best, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[_Best]:
    """What was found, its numbers fitted together as long as that makes it better; nothing is done where nothing was found."""
    how = aim.names.fit
    for round_ in range(how.rounds):
        if found.program is None or found == best or found.match >= aim.threshold:
            break
        yield Doing("fitting its numbers together", found.program)
        fitted = fit_strengths(found.program, oracle, Schedule(how, how.rate, oracle.seed + round_), aim.names.digits, budget)
        match = yield Trial(fitted, "its numbers fitted together", found.match)
        if match <= found.match:
            break
        found = _Best(fitted, match)
    return (yield from _judged(found, aim))


def _length(program: Program) -> int:
    counted = size(program)
    return 2 * counted.statements + counted.numbers


def _readouts(program: Program, oracle: Oracle, aim: Aim, how: How) -> Iterator[Named]:
    """The program with its readout named, in one way after the other, labelled by the model."""
    tuning = aim.naming
    batches = [*oracle.short[:: tuning.samples.short_every], *oracle.long[:: tuning.samples.long_every]]
    answered = [Answered(_sample(batch), _probabilities(batch.model_logits)) for batch in batches]
    real = [Judged(a.sample, as_sets(b.model_logits.cpu().numpy(), program)) for a, b in zip(answered, batches, strict=True)]
    few = [a.sample for a in answered[:: tuning.samples.edited_every]]
    off = [*random_strings(program, tuning.samples, how.rng), *(edited(sample, program, how.rng) for sample in few)]
    judging = Judging(real, [_labelled(program, sample, oracle, how) for sample in off], how.spend)
    if oracle.task.predict == "next-token":
        yield from logit_readouts(program, answered, judging, how, aim.names.logits)
    yield from name_readout(program, program, judging, tuning.readout)


def _sample(batch: Batch) -> Sample:
    return Sample(*(part.cpu().numpy() for part in (batch.token_ids, batch.position_ids, batch.scored)))


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.softmax(-1).cpu().numpy()


def _labelled(program: Program, sample: Sample, oracle: Oracle, how: How) -> Judged:
    """Sequences with what the model predicts."""
    how.spend(oracle.study.work)
    logits = oracle.study.oracle(sample.token_ids, sample.position_ids).cpu().numpy()
    return Judged(sample, as_sets(logits[sample.scored], program))
