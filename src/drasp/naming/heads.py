"""Attention as rewrites: the selectors of a program's heads replaced by described ones, from the tolerance that will do best on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from drasp.ir.nodes import Aggregate, Read, Statement
from drasp.ir.program import Program, alive
from drasp.learn.trial import Doing, Steps
from drasp.naming.attention import Head, NamedHead, distance, name_head
from drasp.naming.pieces import Rewrite, Target
from drasp.naming.samples import Samples
from drasp.naming.tuning import HeadTuning

Selectors = tuple[str, ...]
Heads = Mapping[Selectors, NamedHead]
"""One description for each sum of selectors."""


def target(tuning: HeadTuning) -> Target:
    """An attention, whose closeness is the total variation to the one it replaces."""
    return Target("attention", "total_variation", tuning.farthest, at_least=False)


def described(program: Program, samples: Samples, tuning: HeadTuning) -> Steps[dict[Selectors, list[NamedHead]]]:
    """Ever closer descriptions of each attention that a program has."""
    found = {}
    for selectors in dict.fromkeys(s.selectors for s in program.statements if isinstance(s, Aggregate) and s.selectors):
        yield Doing(f"naming the attention of {', '.join(selectors)}", program)
        found[selectors] = name_head(program, selectors, samples, tuning.attention)
    return found


def head_choices(found: Mapping[Selectors, Sequence[NamedHead]], tuning: HeadTuning) -> Iterator[tuple[float, Heads]]:
    """One description of every attention for each tolerance, each choice once: first as `tuning` says, then from the closest on."""
    tried: list[Heads] = []
    distances = sorted({head.total_variation for heads in found.values() for head in heads})
    for tolerance in (*tuning.tolerances, *distances):
        chosen = {selectors: _within(heads, tolerance) for selectors, heads in found.items()}
        if chosen not in tried:
            tried.append(chosen)
            yield tolerance, chosen


def _within(found: Sequence[NamedHead], tolerance: float) -> NamedHead:
    """The shortest description within the tolerance, else the closest."""
    near = [head for head in found if head.total_variation <= tolerance]
    return near[0] if near else min(found, key=lambda head: head.total_variation)


def with_heads(program: Program, chosen: Heads) -> Program:
    """The program with the selectors of some heads replaced, and without what nothing reads any more."""
    statements: list[Statement] = []
    placed: set[Selectors] = set()
    for statement in program.statements:
        if isinstance(statement, Aggregate) and statement.selectors in chosen:
            selects = chosen[statement.selectors].selects
            if statement.selectors not in placed:
                statements += selects
                placed.add(statement.selectors)
            statement = replace(statement, selectors=tuple(s.name for s in selects))
        statements.append(statement)
    return program.with_statements(alive(statements))


def undivided(program: Program) -> Program:
    """With averages of the variables themselves where they were of the variables divided by a norm: a readout that is fitted anew may do
    without.
    """
    whole = [replace(s, value=Read(s.value.variable)) if isinstance(s, Aggregate) else s for s in program.statements]
    return program.with_statements(alive(whole))


def still_read(program: Program, chosen: Heads, named: Program, samples: Samples, tuning: HeadTuning) -> dict[Selectors, NamedHead]:
    """The heads whose averages `named` still has, with their distance where these matter to it."""
    left = {s.name for s in named.statements}
    needed = {s.selectors for s in program.statements if isinstance(s, Aggregate) and s.name in left}

    def off(selectors: Selectors, head: NamedHead) -> float:
        return distance(Head(program, selectors, named), head.selects, samples, tuning.attention)

    return {s: replace(head, total_variation=off(s, head)) for s, head in chosen.items() if s in needed}


def head_rewrites(program: Program, chosen: Heads, tuning: HeadTuning) -> list[Rewrite]:
    """The program with one head replaced at a time."""
    return [
        Rewrite(target(tuning), with_heads(program, {selectors: head}), tuple(s.name for s in head.selects), head.total_variation)
        for selectors, head in chosen.items()
    ]
