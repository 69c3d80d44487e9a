"""Interchange interventions: a variable takes its value from another input, in the program and in the model; do both change alike?

(After Geiger et al., "Causal Abstractions of Neural Networks", arXiv 2106.02997.) What a variable stands for is found out afterwards, since
passes rename, merge and replace statements: for an average the heads whose attention is nearest to its own, and of these the fewest
that make program and model change nearly as much alike as any, on some pairs of inputs. The agreement is then measured on other pairs.

There are two swaps (`drasp.run.swaps`). The *value*: the variable takes its value from the other input, and the heads what they have read
there. The *reading*: the average looks at the other input's keys and values, with its own query, and so do the heads.

An average passes if program and model change alike after one of them. Where the query decides what is read, each can make a state that no
input leads to, in which a model may do anything: a value that was read for another query, as where a head weighs its keys by the current
token; or a reading that finds nothing, as where it looks for a token that the other input lacks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.intervals import rounded
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, NotMeasured, Row
from drasp.ir.nodes import Aggregate, Mlp, Prediction, Project, Select
from drasp.ir.program import Program, feeds_attention
from drasp.learn.evaluation import Examinee, alike, chunked, predictions, program_predictions, spend, work
from drasp.model.wiring import Sender, swapped_parts
from drasp.run.numpy_fast import evaluate
from drasp.run.swaps import SWAPS, SwapKind, swapped_value
from drasp.tasks.protocol import Sample
from drasp.tasks.user import checked_sample

if TYPE_CHECKING:
    from drasp.model.forward import TorchTransformer


Group = tuple[str, ...]
"""Variables that stand for the same components and so are swapped together."""
Components = tuple[Sender, ...]


@dataclass(frozen=True)
class PairShare:
    """A share of pairs of sequences with its 95 % Wilson interval."""

    agreement: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, agree: int, pairs: int) -> "PairShare | None":
        """None where there are no pairs."""
        return cls(*rounded(agree / pairs, pairs), pairs) if pairs else None


@dataclass(frozen=True)
class Unmoved:
    """The share of the pairs that the swap changes on which the model predicts what it did before; None where it changes none."""

    unmoved: float | None


@dataclass(frozen=True)
class Swap:
    """How often program and model predict the same after a swap: of the pairs on which it changes what either predicts, and of all."""

    changed: PairShare | None
    all: PairShare | None
    baseline: Unmoved


@dataclass(frozen=True)
class Component:
    """A head or MLP of the model that a variable stands for.

    Attributes:
        total_variation: of a head, between its attention and the variable's. distance: of an MLP, between its values and the variable's.
    """

    kind: str
    layer: int
    head: int | None = None
    total_variation: float | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Swapped:
    """What came of swapping some variables that stand for the same components.

    Attributes:
        faithful: whether enough of one kind of swap, of those that change something, less a standard error, leave program and model
            alike; None where none changes anything.
    """

    variables: tuple[str, ...]
    stands_for: tuple[Component, ...]
    value: Swap
    reading: Swap
    faithful: bool | None


@dataclass(frozen=True)
class Interchange:
    """Of all variables but the prediction.

    Attributes:
        readout: those that are swapped when the whole input is, so that match tells of them.
        no_component: those that no part of the model stands behind.
    """

    variables: tuple[Swapped, ...]
    readout: tuple[str, ...]
    no_component: tuple[str, ...]

    @property
    def unfaithful(self) -> tuple[Swapped, ...]:
        """The averages that are not what the heads hold that they stand for."""
        return tuple(each for each in self.variables if each.faithful is False and any(part.kind == "head" for part in each.stands_for))

    @property
    def faithful(self) -> bool:
        """Whether every average passes."""
        return not self.unfaithful


@dataclass(frozen=True)
class InterchangeTuning(KindTuning):
    """On how many pairs is measured, and what counts as the same."""

    enough: int = knob(100, unit="pairs, for which it may take all that is left", origin="chosen: the verdict hangs on it")
    most: int = knob(1_000, unit="pairs", origin="chosen: .95 is told from .97")
    faithful: float = knob(0.95, unit="agreement, on pairs where the swap changes something", origin="chosen")
    drawn: int = knob(1_000, unit="sequences at the least, of which two must have the same length", origin="chosen: of 150 lengths")
    nearly: float = knob(0.02, unit="agreement that fewer components may cost", origin="chosen")
    choosing_share: float = knob(0.25, unit="share of the pairs", origin="chosen: as many others choose the components")


@dataclass(frozen=True)
class Pairs:
    """Sequences, and for each another one of the same length, at the same positions: where its values are taken from."""

    base: Sample
    other: Sample


@dataclass
class Counts:
    """Of pairs, at one scored position each.

    Attributes:
        pairs, agree: how many there were, and after how many swaps program and model predict the same.
        changed, changed_agree: the same where the swap changes what the program or what the model predicts.
        still: of these, where the model's prediction is the one before the swap: what a program would score that ignores the swap.
    """

    pairs: int = 0
    agree: int = 0
    changed: int = 0
    changed_agree: int = 0
    still: int = 0

    @property
    def agreement(self) -> float | None:
        """After swaps that change something; None where none does."""
        return self.changed_agree / self.changed if self.changed else None

    @property
    def error(self) -> float:
        """The standard error of the agreement."""
        return 0.0 if self.agreement is None else sqrt(self.agreement * (1 - self.agreement) / self.changed)


@dataclass(frozen=True)
class _Laboratory:
    """Program and model, and the budget that each run of both is charged to."""

    program: Program
    oracle: "TorchTransformer"
    parts: int
    budget: Budget

    def charge(self, sample: Sample) -> None:
        """For a run of both. Raises OutOfBudget where the budget is spent."""
        spend(self.budget, (len(self.program.statements) + self.parts) * work(sample))


def interchange(bench: Bench, tuning: InterchangeTuning) -> Interchange:
    """For each variable that stands for heads or MLPs of the model, how often program and model agree after a swap of its whole value.

    Raises:
        NotMeasured: no two sequences have the same scored positions.
        OutOfBudget: the budget is spent.
    """
    program, question, rng = bench.program, bench.question, bench.rng(Stream.PAIRS)
    found, drawn = groups(program), partial(_draw, question.examinee, tuning.drawn)
    choosing = list(drawn(max(1, int(tuning.choosing_share * bench.sequences)), rng))
    if not choosing:
        raise NotMeasured("no two sequences have the same scored positions")
    both = _Laboratory(program, question.study.oracle, question.parts, bench.budget)
    distances = _distances(both, found, choosing)
    candidates = {group: _candidates(program, group, distances[group]) for group in found}
    several = [(group, parts, swap) for group, each in candidates.items() if len(each) > 1 for parts in each for swap in SWAPS]
    counted = _count(both, choosing, several, rng)

    def alike_at_best(group: Group, parts: Components) -> float:
        return max(counted[group, parts, swap].agreement or 0.0 for swap in SWAPS)

    chosen = {
        group: _fewest({parts: alike_at_best(group, parts) for parts in each}, tuning.nearly) if len(each) > 1 else each[0]
        for group, each in candidates.items()
    }
    final = _count(both, list(drawn(bench.sequences, rng)), [(g, c, swap) for g, c in chosen.items() for swap in SWAPS], rng)

    def swapped(group: Group) -> Swapped:
        counts = [final[group, chosen[group], swap] for swap in SWAPS]
        return _swapped(group, chosen[group], distances[group], counts, tuning.faithful)

    return Interchange(tuple(map(swapped, found)), *_left(program, found))


def _left(program: Program, found: Sequence[Group]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables that were not swapped: those of the readout, and those that no component stands behind."""
    swapped = {name for group in found for name in group}
    left = [s.name for s in program.statements if not isinstance(s, Select | Project | Prediction) and s.name not in swapped]
    readout = {name for s in program.statements if isinstance(s, Project) for name in s.input.variables()}
    whole = readout <= {*left, "one"}
    return tuple(name for name in left if whole and name in readout), tuple(name for name in left if not (whole and name in readout))


def groups(program: Program) -> list[Group]:
    """The averages, those under the same attention together, and each MLP.

    Uniform attention has no selectors to be known by: there averages of averages are kept apart from averages of what is not averaged.
    """
    depth = dict.fromkeys(program.header.built_in, 0)
    found: dict[object, list[str]] = {}
    for statement in program.statements:
        depth[statement.name] = max((depth[name] for read in statement.reads for name in read.variables()), default=0)
        if isinstance(statement, Aggregate):
            depth[statement.name] += 1
            key = statement.selectors or (depth[statement.name],)
            found.setdefault(key, []).append(statement.name)
        elif isinstance(statement, Mlp):
            found[statement.name] = [statement.name]
    return [tuple(names) for names in found.values()]


def _draw(examinee: Examinee, least: int, count: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """So many pairs, if there are, among as many sequences or more, in chunks that fit in memory."""
    base, other = checked_sample(examinee.task, rng, max(count, least), examinee.lengths).paired()
    if not len(base.token_ids):
        return
    some = rng.permutation(len(base.token_ids))[:count]
    base, other = (Sample(*(array[some] for array in whole)) for whole in (base, other))
    for chosen, end in chunked(base, examinee.bidirectional):
        if examinee.bidirectional:
            end = max(end, int(other.lengths[chosen].max()))
        yield Pairs(*(Sample(*(array[chosen, :end] for array in whole)) for whole in (base, other)))


def _distances(both: _Laboratory, found: Sequence[Group], pairs: Sequence[Pairs]) -> dict[Group, dict[Sender, float]]:
    """From each group to each head the total variation between the two attentions; from an MLP to each MLP the distance of the values.

    Means over all positions where the prediction may depend on them: the scored ones alone, unless something attends to the variable.
    """
    program, oracle = both.program, both.oracle
    totals: dict[Group, dict[Sender, float]] = {group: {} for group in found}
    feeding, places = feeds_attention(program), 0
    for chunk in pairs:
        both.charge(chunk.base)
        scored = chunk.base.scored
        real = chunk.base.real(program.header.bidirectional)
        trace = evaluate(program, chunk.base.token_ids, chunk.base.position_ids)
        attention = {sender: found.cpu().numpy() for sender, found in oracle.attention(*chunk.base[:2]).items()}
        components = {sender: found.cpu().numpy() for sender, found in oracle.activation_cache(chunk.base).items()}
        for group in found:
            where = real if feeding & set(group) else scored
            if isinstance(program.by_name[group[0]], Aggregate):
                mine, theirs = trace.attention[group[0]], attention
                gaps = {sender: np.abs(mine - weights).sum(-1)[where] / 2 for sender, weights in theirs.items()}
            else:
                value = trace.value(group[0])
                mlps = {s: z for s, z in components.items() if isinstance(s, Sender) and s.kind == "mlp"}
                gaps = {sender: np.linalg.norm(value - z, axis=-1)[where] for sender, z in mlps.items()}
            for sender, gap in gaps.items():
                totals[group][sender] = totals[group].get(sender, 0.0) + float(gap.mean()) * len(scored)
        places += len(scored)
    return {group: {sender: total / places for sender, total in gaps.items()} for group, gaps in totals.items()}


def _candidates(program: Program, group: Group, distances: Mapping[Sender, float]) -> list[Components]:
    """The nearest component, the two nearest, and so on; for an MLP just the nearest."""
    nearest = sorted(distances, key=lambda sender: distances[sender])
    most = len(nearest) if isinstance(program.by_name[group[0]], Aggregate) else 1
    return [tuple(nearest[: n + 1]) for n in range(most)]


def _fewest(agreements: Mapping[Components, float], nearly: float) -> Components:
    """The fewest components that agree nearly as often as any."""
    best = max(agreements.values())
    return min((parts for parts, agreement in agreements.items() if agreement >= best - nearly), key=len)


Wanted = tuple[Group, Components, SwapKind]
"""A group to be swapped in the program, the components to be patched in the model, and how."""


def _count(both: _Laboratory, pairs: Sequence[Pairs], wanted: Sequence[Wanted], rng: np.random.Generator) -> dict[Wanted, Counts]:
    """Swaps each group in the program, and its components in the model."""
    found = {each: Counts() for each in wanted}
    program, oracle, predict = both.program, both.oracle, both.program.header.predict
    for chunk in pairs if found else ():
        both.charge(chunk.base)
        keys = rng.random(chunk.base.scored.shape)
        before = program_predictions(program, chunk.base), predictions(oracle.patched_logits(chunk.base, {}), predict)
        base, other = (evaluate(program, *sample[:2]) for sample in (chunk.base, chunk.other))
        values = oracle.activation_cache(chunk.other)
        for (group, components, swap), counts in found.items():
            if swap == "reading" and components[0].kind == "mlp":
                continue
            both.charge(chunk.base)
            mine = {name: swapped_value(program, name, base, other, swap) for name in group}
            theirs = {part: values[part] for part in swapped_parts(components, swap)}
            after = program_predictions(program, chunk.base, mine), predictions(oracle.patched_logits(chunk.base, theirs), predict)
            _tally(counts, chunk.base.scored, keys, before, after)
    return found


def _tally(
    counts: Counts, scored: np.ndarray, keys: np.ndarray, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]
) -> None:
    """One scored position of each pair, and one of those where something changed: the positions of a sequence are not independent."""
    agree = alike(*after)
    still = alike(before[1], after[1])
    changed = ~(alike(before[0], after[0]) & still)

    def at_one(of: np.ndarray, marks: np.ndarray) -> np.ndarray:
        """`of` at the position with the largest key of each row's marked ones; rows without any are left out."""
        ranks, values = np.full(scored.shape, -1.0), np.zeros(scored.shape, dtype=bool)
        ranks[scored] = np.where(marks, keys[scored], -1.0)
        values[scored] = of
        rows = ranks.max(1) >= 0
        return np.take_along_axis(values, ranks.argmax(1)[:, None], axis=1)[rows, 0]

    counts.pairs += len(scored)
    counts.agree += int(at_one(agree, np.ones_like(agree)).sum())
    chosen = at_one(agree, changed)
    counts.changed += len(chosen)
    counts.changed_agree += int(chosen.sum())
    counts.still += int(at_one(still, changed).sum())


def _swapped(group: Group, chosen: Components, distances: Mapping[Sender, float], counts: Sequence[Counts], faithful: float) -> Swapped:
    passes = [each.agreement >= faithful - each.error for each in counts if each.agreement is not None]
    stands_for = tuple(
        Component("head", sender.layer, sender.head, total_variation=round(distances[sender], 4))
        if sender.kind == "head"
        else Component(sender.kind, sender.layer, distance=round(distances[sender], 4))
        for sender in chosen
    )
    value, reading = map(_swap, counts)
    return Swapped(
        group,
        stands_for,
        value,
        reading,
        any(passes) if passes else None,
    )


def _swap(counts: Counts) -> Swap:
    unmoved = round(counts.still / counts.changed, 6) if counts.changed else None
    changed, whole = PairShare.of(counts.changed_agree, counts.changed), PairShare.of(counts.agree, counts.pairs)
    return Swap(changed, whole, Unmoved(unmoved))


def _measure(bench: Bench, tuning: InterchangeTuning) -> Mapping[str, Any]:
    return {"interchange": interchange(bench, tuning)}


def _rows(found: Interchange | None) -> Sequence[Row]:
    if found is None:
        return []
    rows = []
    for each in found.variables:
        parts = ", ".join(f"{part.kind} {part.layer}" + ("" if part.head is None else f".{part.head}") for part in each.stands_for)
        mark = "not faithful" if each.faithful is False else ""
        label = f"{', '.join(each.variables)} for {parts}"
        rows.append(Row("swaps", label, _said(each) + f"; {mark}" * bool(mark), each.variables, mark))
    rest = {"of the readout, swapped with the whole input": found.readout, "stand for no part of the model": found.no_component}
    return [*rows, *(Row("swaps", ", ".join(names), f"not swapped: {why}", names) for why, names in rest.items() if names)]


def not_what_heads_hold(found: Interchange) -> str:
    """A sentence on the averages that fail; empty where none does."""
    said = (f"{', '.join(each.variables)} ({_said(each)})" for each in found.unfaithful)
    return f"not all of its averages are what the model's heads hold: {'; '.join(said)}" if found.unfaithful else ""


def _said(swapped: Swapped) -> str:
    changed, reading = swapped.value.changed, swapped.reading.changed
    if changed is None:
        return "no swap changes anything"
    text = (
        f"both predict the same after {changed.agreement:.3f} [{changed.low:.3f}, {changed.high:.3f}] of {changed.pairs} swaps "
        "that change something"
    )
    return text if reading is None else text + f" ({reading.agreement:.3f} where what is read is swapped)"


INTERCHANGE = Kind(
    name="interchange",
    question="A variable's value is taken from another input, in the program and in the model: do both change alike?",
    how="On pairs of sequences of the task of the same length, at the same positions, one scored position of each pair.",
    runs=lambda program: 2.0 + 3.0 * len(groups(program)),
    measure=_measure,
    rows=_rows,
    tuning=InterchangeTuning(),
    decides=True,
)
