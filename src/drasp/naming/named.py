"""Naming: the last pass, in which a pruned program's attention and readout become symbolic, as far as match bears.

A name is a rewrite with a closeness, one file a target. Attention and readout are named together: the readout is fitted behind each choice
of descriptions of the attention, until one of their product keeps match.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drasp.core.budget import Budget
from drasp.ir.nodes import Aggregate, Project, Select
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Doing, Found, Result, Steps, Trial
from drasp.naming.attention import Head, NamedHead, distance
from drasp.naming.heads import Heads, described, head_choices, head_rewrites, still_read, undivided, with_heads
from drasp.naming.judged import agreement
from drasp.naming.lines import Line, dense_lines, line_rewrites
from drasp.naming.pieces import Naming, Piece, measured
from drasp.naming.readout import Named, averages_for_attention, name_readout, readout_rewrite, shortest
from drasp.naming.readout import target as readout_target
from drasp.naming.samples import Samples, draw_samples
from drasp.naming.tuning import NamingTuning


@dataclass(frozen=True)
class NamingAim:
    """What naming is to do.

    Attributes:
        threshold: match on the selection pool, in the worst band, that a named program must reach.
        eliminate: prunes a program whose attention is named, see `_behind`.
    """

    threshold: float
    eliminate: Callable[[Program], Steps[Program]]
    tuning: NamingTuning = field(default_factory=NamingTuning)


def named(program: Program, oracle: Oracle, aim: NamingAim, budget: Budget) -> Steps[Naming]:
    """The program with its attention and its readout in symbols where match stays at the threshold; what resists stays dense. It is found
    first; where something resists, one that has its readout named may be found after it.
    """
    given = yield from _given(program, oracle, aim, budget.spend)
    found, partly = yield from _whole(given)
    if found is not None:
        first = yield from _with_pieces(given, found)
    else:
        first = yield from _line_by_line(given, partly)
    yield Found(first)
    if found is None and partly.pieces and size(first.program).opaque:
        whole = yield from _behind(given, partly.program, oracle)
        if whole is not None:
            yield Found(whole)
            return whole
    return first


def named_whole(program: Program, oracle: Oracle, aim: NamingAim, budget: Budget) -> Steps[Naming | None]:
    """As `named`, but all or nothing: for a program that is still to be pruned, and will be easier to name then."""
    given = yield from _given(program, oracle, aim, budget.spend)
    found, partly = yield from _whole(given)
    if found is not None:
        return (yield from _with_pieces(given, found))
    return (yield from _behind(given, partly.program, oracle)) if partly.pieces else None


@dataclass(frozen=True)
class _Given:
    """A program that is to be named, and the sequences labelled by it."""

    program: Program
    samples: Samples
    aim: NamingAim

    @property
    def tuning(self) -> NamingTuning:
        return self.aim.tuning


@dataclass(frozen=True)
class _Whole:
    """A program with its readout named behind one description of each attention."""

    heads: Heads
    readout: Named


def _given(program: Program, oracle: Oracle, aim: NamingAim, spend: Callable[[float], None]) -> Steps[_Given]:
    yield Doing("labelling sequences to name on", program)
    return _Given(program, draw_samples(program, oracle, aim.tuning.samples, spend), aim)


def _whole(given: _Given) -> Steps[tuple[_Whole | None, Naming]]:
    """The program with its readout named behind one description of the attention, or None; and one with its attention named alone."""
    program, tuning = given.program, given.tuning
    found = yield from described(program, given.samples, tuning.head)
    partly = Naming(program, ())
    for tolerance, chosen in head_choices(found, tuning.head):
        variant = with_heads(program, chosen)
        yield Doing(f"naming the readout, attention within {tolerance:.2g}", variant)
        readout = yield from _readout(given, program, undivided(variant))
        if readout is None and variant != undivided(variant):
            readout = yield from _readout(given, program, variant)
        if readout is not None:
            return _Whole(chosen, readout), partly
        if partly.program is program:
            match = yield Trial(variant, "the attention named alone", given.aim.threshold)
            if match >= given.aim.threshold:
                pieces = yield from measured(head_rewrites(program, chosen, tuning.head))
                partly = Naming(variant, pieces)
    return None, partly


def _with_pieces(given: _Given, found: _Whole) -> Steps[Naming]:
    """What was found, first as it is: time may be up before its pieces are measured."""
    program, tuning = found.readout.program, given.tuning.head
    yield Found(Naming(program, ()))
    heads = still_read(given.program, found.heads, program, given.samples, tuning)
    return Naming(program, (yield from _pieces(given, heads, found.readout)))


def _pieces(given: _Given, heads: Heads, readout: Named) -> Steps[tuple[Piece, ...]]:
    """Each thing that was named, measured alone."""
    program, tuning = given.program, given.tuning
    return (yield from measured([*head_rewrites(program, heads, tuning.head), readout_rewrite(program, readout, tuning.readout)]))


def _readout(given: _Given, program: Program, variant: Program) -> Steps[Named | None]:
    """The best of the readouts of a program, named in a variant of it, that keep match."""
    good = []
    for found in name_readout(program, variant, given.samples.judging, given.tuning.readout):
        match = yield Trial(found.program, "the readout named", given.aim.threshold)
        if match >= given.aim.threshold:
            good.append(found)
    return shortest(good, given.tuning.readout) if good else None


def _behind(given: _Given, partly: Program, oracle: Oracle) -> Steps[Naming | None]:
    """The program as it is named where its attention alone was, and what is not needed behind that pruned; None where that fails.

    What made up for an attention that is less sharp than its name is in the way of naming the readout.
    """
    program, samples = given.program, given.samples
    pruned = yield from _unfound(given.aim.eliminate(partly))  # no candidate: its attention is not the model's
    again = yield from _given(pruned, oracle, given.aim, samples.spend)
    found, _ = yield from _whole(again)
    if found is None:
        return None
    whole = found.readout.program
    if any(whole.bases.get(a, program.bases[a]) != program.bases[a] for a in averages_for_attention(program)):
        return None  # an average of other coordinates cannot stand where it was
    yield Found(Naming(whole, ()))
    heads = {}
    for average in whole.statements:
        original = program.by_name.get(average.name)
        if isinstance(average, Aggregate) and isinstance(original, Aggregate) and original.selectors:
            selects = tuple(s for s in whole.statements if isinstance(s, Select) and s.name in average.selectors)
            head = Head(program, original.selectors, whole)
            off = distance(head, selects, samples, given.tuning.head.attention)
            heads[original.selectors] = NamedHead(selects, off)
    readout = replace(found.readout, agreement=agreement(whole, samples.judging))
    return Naming(whole, (yield from _pieces(given, heads, readout)))


def _unfound(steps: Steps[Result]) -> Steps[Result]:
    """The same steps, with nothing found on the way."""
    try:
        step = next(steps)
        while True:
            step = steps.send(0.0 if isinstance(step, Found) else (yield step))
    except StopIteration as end:
        return end.value


def _line_by_line(given: _Given, partly: Naming) -> Steps[Naming]:
    """What is still dense, line by line; then once more the readout behind the selectors as they are named by now."""
    program = partly.program
    for line in dense_lines(program):
        if not isinstance(line, Project):
            program = yield from _line(given, program, line)
    readout = yield from _readout(given, partly.program, program)
    if readout is not None:
        match = yield Trial(readout.program, "the readout named")
        piece = Piece(readout_target(given.tuning.readout), readout.statements, readout.agreement, match)
        left = {s.name for s in readout.program.statements}
        return Naming(readout.program, (*(p for p in partly.pieces if left.issuperset(p.statements)), piece))
    for line in dense_lines(program):
        program = yield from _line(given, program, line)
    return replace(partly, program=program)


def _line(given: _Given, program: Program, line: Line) -> Steps[Program]:
    """The program with one line named, if a description keeps match."""
    yield Doing(f"naming {line.name}", program)
    samples = [part.sample for part in given.samples.judging.real[:: given.tuning.line.sequences_every]]
    for candidate in line_rewrites(program, line, samples, given.tuning.line):
        match = yield Trial(candidate, f"{line.name} named", given.aim.threshold)
        if match >= given.aim.threshold:
            return candidate
    return program
