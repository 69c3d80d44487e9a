"""Naming: the last phase, in which a pruned program's attention and readout become symbolic, as far as match bears."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from drasp.core.parallel import in_order
from drasp.ir.nodes import Aggregate, Project, Read, Select, Statement
from drasp.ir.program import Program, alive, feeds_attention
from drasp.ir.size import size
from drasp.naming.attention import NamedHead, distance, name_head
from drasp.naming.lines import Line, dense_lines, descriptions
from drasp.naming.readout import Judged, Named, agreement, as_sets, judged, name_readout, with_readout
from drasp.passes.context import Context
from drasp.passes.pools import Batch
from drasp.passes.prune import SearchSettings, eliminate
from drasp.tasks.protocol import Sample

Selectors = tuple[str, ...]

TOLERANCES = (0.05, 0.02, 0.2)  # of total variation, tried first: the shortest description within it; then the closest that will do
FARTHEST, LEAST_AGREEMENT = 0.05, 0.95  # beyond these a name describes behaviour on the task, not what the model computes
AGREEMENT_LOST = 0.01  # off the distribution, that a shorter readout may lose, if it agrees less than is asked
NAMING_STREAM = 9
HEAD_SEQUENCES = 16  # of each batch on which attention is named: there are many positions in each
OFF_SEQUENCES, OFF_LENGTHS = 60, (8, 20, 50, 100)
OFF_SCORED = 0.1


@dataclass(frozen=True)
class Piece:
    """What one name stands for, and how well.

    Attributes:
        kind: "attention" or "readout".
        statements: those that stand for it.
        closeness: of an attention, the total variation to the one it replaces; of a readout, its agreement with the one it replaces off the
            task's distribution.
        match: of the program with this piece alone replaced, in the worst band.
    """

    kind: Literal["attention", "readout"]
    statements: tuple[str, ...]
    closeness: float
    match: float

    @property
    def behaviour_only(self) -> bool:
        """Whether it only behaves alike on the task: what it computes is not what it replaces."""
        return self.closeness > FARTHEST if self.kind == "attention" else self.closeness < LEAST_AGREEMENT

    def as_json(self, names: Mapping[str, str]) -> dict[str, object]:
        measure = "total_variation" if self.kind == "attention" else "agreement"
        return {
            "kind": self.kind,
            "statements": [names[s] for s in self.statements],
            measure: round(self.closeness, 4),
            "match": round(self.match, 6),
            "behaviour_only": self.behaviour_only,
        }


@dataclass(frozen=True)
class Naming:
    """A program with what could be named, and what each name stands for."""

    program: Program
    pieces: tuple[Piece, ...]


def name(program: Program, context: Context, settings: SearchSettings) -> Iterator[Naming]:
    """The program with its attention and its readout in symbols where match stays at the threshold; what resists stays dense. Where
    something does, a second one may follow, which has its readout named.
    """
    samples = _draw(program, context)
    whole, partly = _name_whole(program, context, settings.threshold, samples)
    first = whole or _line_by_line(partly, context, settings.threshold, samples)
    yield first
    if whole is None and partly.pieces and size(first.program).opaque:
        whole = _name_behind(program, partly.program, context, settings, samples)
        if whole is not None:
            yield whole


def name_whole(program: Program, context: Context, settings: SearchSettings) -> Naming | None:
    """As `name`, but all or nothing: for a program that is still to be pruned, and will be easier to name then."""
    samples = _draw(program, context)
    whole, partly = _name_whole(program, context, settings.threshold, samples)
    if whole is None and partly.pieces:
        return _name_behind(program, partly.program, context, settings, samples)
    return whole


@dataclass(frozen=True)
class _Samples:
    """What a program is named on: few sequences for its attention, more of the task and off it for its readout."""

    few: Sequence[Sample]
    real: Sequence[Judged]
    off: Sequence[Judged]
    rng: np.random.Generator


def _draw(program: Program, context: Context) -> _Samples:
    context.report("labelling sequences to name on", program)
    rng = np.random.default_rng([context.seed, NAMING_STREAM])
    batches = context.short[::3] + context.long[::5]
    samples = [_sample(batch) for batch in batches]

    def label(given: Sequence[tuple[Sample, np.ndarray | None]]) -> Iterator[Judged]:
        for found in in_order(lambda pair: judged(program, *pair), given):
            context.check_time()  # a program that is still long takes its time
            yield found

    given = [(sample, as_sets(batch.model_logits.cpu().numpy(), program)) for sample, batch in zip(samples, batches, strict=True)]
    real = list(label(given))
    off = [*_random_strings(program, rng), *(_edited(sample, program, rng) for sample in samples[::4])]
    few = [Sample(*(array[:HEAD_SEQUENCES] for array in sample)) for sample in samples[:: max(1, len(samples) // 16)]]
    return _Samples(few, real, list(label([(sample, None) for sample in off])), rng)


def _name_whole(program: Program, context: Context, threshold: float, samples: _Samples) -> tuple[Naming | None, Naming]:
    """The program with its readout named behind one description of the attention, or None; and one with its attention named alone."""
    heads = dict.fromkeys(s.selectors for s in program.statements if isinstance(s, Aggregate) and s.selectors)
    described = {}
    for selectors in heads:
        context.report(f"naming the attention of {', '.join(selectors)}", program)
        described[selectors] = name_head(program, selectors, samples.few, samples.rng)
    best = Naming(program, ())
    tried: list[Mapping[Selectors, NamedHead]] = []
    distances = sorted({head.total_variation for found in described.values() for head in found})
    for tolerance in (*TOLERANCES, *distances):
        chosen = {selectors: _within(found, tolerance) for selectors, found in described.items()}
        if chosen in tried:
            continue
        tried.append(chosen)
        variant = _with_heads(program, chosen)
        context.report(f"naming the readout, attention within {tolerance:.2g}", variant)
        readout = _readout(program, _undivided(variant), context, threshold, samples)
        if readout is None and variant != _undivided(variant):
            readout = _readout(program, variant, context, threshold, samples)
        if readout is not None:
            left = {s.name for s in readout.program.statements}
            needed = {s.selectors for s in program.statements if isinstance(s, Aggregate) and s.name in left}
            chosen = {
                selectors: replace(
                    head, total_variation=distance(program, selectors, head.selects, readout.program, samples.few, samples.rng)
                )
                for selectors, head in chosen.items()
                if selectors in needed
            }
            return Naming(readout.program, _pieces(program, context, chosen, readout)), best
        if best.program is program and context.match(variant, context.select, threshold) >= threshold:
            best = Naming(variant, _pieces(program, context, chosen, None))
    return None, best


def _name_behind(program: Program, named: Program, context: Context, settings: SearchSettings, samples: _Samples) -> Naming | None:
    """The program as it is named where its attention alone was, and what is not needed behind that pruned; None where that fails.

    What made up for an attention that is less sharp than its name is in the way of naming the readout.
    """
    pruned = eliminate(named, replace(context, found=lambda smaller: None), settings)  # no candidate: its attention is not the model's
    found, _ = _name_whole(pruned, context, settings.threshold, _draw(pruned, context))
    if found is None or any(found.program.bases.get(a, program.bases[a]) != program.bases[a] for a in _averages_for_attention(program)):
        return None  # an average of other coordinates cannot stand where it was
    heads = {}
    for average in found.program.statements:
        original = program.by_name.get(average.name)
        if isinstance(average, Aggregate) and isinstance(original, Aggregate) and original.selectors:
            selects = tuple(s for s in found.program.statements if isinstance(s, Select) and s.name in average.selectors)
            off = distance(program, original.selectors, selects, found.program, samples.few, samples.rng)
            heads[original.selectors] = NamedHead(selects, off)
    statements = next(piece.statements for piece in found.pieces if piece.kind == "readout")
    readout = Named(found.program, agreement(found.program, samples.real, samples.off), statements)
    return Naming(found.program, _pieces(program, context, heads, readout))


def _readout(program: Program, variant: Program, context: Context, threshold: float, samples: _Samples) -> Named | None:
    """The best of the named readouts that keep match."""
    found = name_readout(program, variant, samples.real, samples.off, context.check_time)
    good = [named for named in found if context.match(named.program, context.select, threshold) >= threshold]
    return _best(good) if good else None


def _line_by_line(found: Naming, context: Context, threshold: float, samples: _Samples) -> Naming:
    """What is still dense, line by line; then once more the readout behind the selectors as they are named by now."""
    program, pieces = found.program, list(found.pieces)
    for line in dense_lines(program):
        if isinstance(line, Project):
            continue
        program = _name_line(program, line, context, threshold, samples.real)
    readout = _readout(found.program, program, context, threshold, samples)
    if readout is not None:
        pieces.append(Piece("readout", readout.statements, readout.agreement, context.match(readout.program, context.select)))
        return Naming(readout.program, tuple(pieces))
    for line in dense_lines(program):
        program = _name_line(program, line, context, threshold, samples.real)
    return Naming(program, tuple(pieces))


def _name_line(program: Program, line: Line, context: Context, threshold: float, real: Sequence[Judged]) -> Program:
    """The program with one line named, if a description keeps match."""
    context.report(f"naming {line.name}", program)
    for op in descriptions(program, line, [part.sample for part in real[::8]]):
        statements = [replace(s, op=op) if isinstance(s, Line) and s.name == line.name else s for s in program.statements]
        candidate = program.with_statements(statements)
        if context.match(candidate, context.select, threshold) >= threshold:
            return candidate
    return program


def _within(found: Sequence[NamedHead], tolerance: float) -> NamedHead:
    """The shortest description within the tolerance, else the closest."""
    near = [head for head in found if head.total_variation <= tolerance]
    return near[0] if near else min(found, key=lambda head: head.total_variation)


def _best(readouts: Sequence[Named]) -> Named:
    """The shortest of those without opaque statements, if any, that agree best off the distribution."""
    wanted = min(max(found.agreement for found in readouts) - AGREEMENT_LOST, LEAST_AGREEMENT)

    def worth(found: Named) -> tuple[int, int]:
        counted = size(found.program)
        return counted.opaque, 2 * counted.statements + counted.numbers

    return min((found for found in readouts if found.agreement >= wanted), key=worth)


def _pieces(program: Program, context: Context, chosen: Mapping[Selectors, NamedHead], readout: Named | None) -> tuple[Piece, ...]:
    """What was named."""
    found = []
    for selectors, head in chosen.items():
        match = context.match(_with_heads(program, {selectors: head}), context.select)
        found.append(Piece("attention", tuple(s.name for s in head.selects), head.total_variation, match))
    if readout is not None:
        match = context.match(_with_readout_of(readout, program), context.select)
        found.append(Piece("readout", readout.statements, readout.agreement, match))
    return tuple(found)


def _with_readout_of(named: Named, program: Program) -> Program:
    """The program with the named readout instead of its own, behind its own attention."""
    statements = [s for s in named.program.statements if s.name in named.statements]
    own = _averages_for_attention(program)
    averages = {s.name: s.value for s in named.program.statements if isinstance(s, Aggregate) and s.name not in own}
    kept = [replace(s, value=averages.get(s.name, s.value)) if isinstance(s, Aggregate) else s for s in program.statements]
    return with_readout(program.with_statements(kept), statements)


def _averages_for_attention(program: Program) -> list[str]:
    feeding = feeds_attention(program)
    return [s.name for s in program.statements if isinstance(s, Aggregate) and s.name in feeding]


def _with_heads(program: Program, chosen: Mapping[Selectors, NamedHead]) -> Program:
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


def _undivided(program: Program) -> Program:
    """With averages of the variables themselves where they were of the variables divided by a norm: a readout that is fitted anew may do
    without.
    """
    whole = [replace(s, value=Read(s.value.variable)) if isinstance(s, Aggregate) else s for s in program.statements]
    return program.with_statements(alive(whole))


def _sample(batch: Batch) -> Sample:
    return Sample(batch.token_ids.cpu().numpy(), batch.position_ids.cpu().numpy(), batch.scored.cpu().numpy())


def _random_strings(program: Program, rng: np.random.Generator) -> Iterator[Sample]:
    """In each string the symbols have shares of its own; some positions are scored."""
    vocabulary = program.header.vocabulary
    symbols = len(vocabulary) - 4
    for length in OFF_LENGTHS:
        if length >= program.header.positions:
            continue
        shares = rng.dirichlet(np.full(symbols, 0.7), OFF_SEQUENCES)
        drawn = np.stack([rng.choice(symbols, length, p=share) for share in shares])
        tokens = np.concatenate([np.full((OFF_SEQUENCES, 1), vocabulary.index("<bos>")), drawn], 1)
        offsets = rng.integers(0, program.header.positions - length, (OFF_SEQUENCES, 1))
        scored = rng.random(tokens.shape) < OFF_SCORED
        scored[:, -1] = True
        yield Sample(tokens, np.arange(length + 1) + offsets, scored)


def _edited(sample: Sample, program: Program, rng: np.random.Generator) -> Sample:
    """The sequences with one token of each replaced, where it is followed by something scored."""
    tokens = sample.token_ids.copy()
    rows = np.arange(len(tokens))
    last = sample.ends - 1
    places = (1 + rng.random(len(tokens)) * last).astype(int).clip(max=last)
    tokens[rows, places] = rng.integers(0, len(program.header.vocabulary) - 4, len(tokens))
    return Sample(tokens, sample.position_ids, sample.scored & (np.arange(tokens.shape[1]) >= places[:, None]))
