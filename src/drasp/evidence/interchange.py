"""Interchange interventions: a variable takes its value from another input, in the program and in the model; do both change alike?

(After Geiger et al., "Causal Abstractions of Neural Networks", arXiv 2106.02997.) What a variable stands for is found out afterwards, since
passes rename, merge and replace statements: for an average the heads whose attention is nearest to its own, and of these the fewest
that make program and model change nearly as much alike as any, on some pairs of inputs. The agreement is then measured on other pairs.

There are two swaps. The *value*: the variable takes its value from the other input, and the heads what they have read there. The *reading*:
the average looks at the other input's keys and values, with its own query, and so do the heads. They differ where the query decides what is
read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from drasp.ir.nodes import Aggregate, Mlp, Prediction, Project, Select
from drasp.ir.program import Program, feeds_attention
from drasp.measure import alike, chunked, predictions, program_predictions, wilson
from drasp.model.forward import Part, TorchTransformer
from drasp.model.wiring import Consumer, Source
from drasp.run.numpy_fast import Scores, Trace, dense, evaluate, softmax
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_sample

FAITHFUL = 0.95  # the least agreement, on pairs where the swap changes something
NEARLY = 0.02  # of agreement that fewer components may cost
CHOOSING_SHARE = 4  # the components are chosen on a quarter as many pairs

Group = tuple[str, ...]
"""Variables that stand for the same components and so are swapped together."""
Components = tuple[Source, ...]
Swap = Literal["value", "reading"]
SWAPS: tuple[Swap, ...] = ("value", "reading")


@dataclass(frozen=True)
class Pairs:
    """Sequences, and for each another one with the same scored positions: where its values are taken from."""

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


def interchange(
    program: Program,
    task: Task,
    oracle: TorchTransformer,
    lengths: tuple[int, int],
    pairs: int,
    rng: np.random.Generator,
    check_time: Callable[[], None],
) -> dict[str, object] | None:
    """For each variable that stands for heads or MLPs of the model, how often program and model agree after a swap of its whole value.

    What is left are the variables of the readout, which are swapped when the whole input is, so that match tells of them, and those that no
    component of the model's own stands behind. None where no two sequences have the same scored positions.
    """
    found = groups(program)
    choosing = list(_draw(task, lengths, max(1, pairs // CHOOSING_SHARE), rng))
    if not choosing:
        return None
    distances = _distances(program, oracle, found, choosing, check_time)
    candidates = {group: _candidates(program, group, distances[group]) for group in found}
    counted = _count(program, oracle, choosing, {g: c for g, c in candidates.items() if len(c) > 1}, rng, check_time)
    chosen = {
        group: _fewest({parts: counted[group, parts, "value"].agreement or 0.0 for parts in c}) if len(c) > 1 else c[0]
        for group, c in candidates.items()
    }
    final = _count(program, oracle, list(_draw(task, lengths, pairs, rng)), {g: [c] for g, c in chosen.items()}, rng, check_time, SWAPS)
    swapped = {name for group in found for name in group}
    left = [s.name for s in program.statements if not isinstance(s, Select | Project | Prediction) and s.name not in swapped]
    readout = {name for s in program.statements if isinstance(s, Project) for name in s.input.variables()}
    whole = readout <= {*left, "one"}
    return {
        "variables": [
            _as_json(group, chosen[group], distances[group], [final[group, chosen[group], swap] for swap in SWAPS]) for group in found
        ],
        "readout": [name for name in left if whole and name in readout],
        "no_component": [name for name in left if not (whole and name in readout)],
    }


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


def _draw(task: Task, lengths: tuple[int, int], count: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """Pairs among `count` sequences, in chunks that fit in memory."""
    sample = checked_sample(task, rng, count, lengths)
    alike_scored: dict[bytes, list[int]] = {}
    for row, scored in enumerate(sample.scored):
        alike_scored.setdefault(scored.tobytes(), []).append(row)
    together = [rows for rows in alike_scored.values() if len(rows) > 1]
    if not together:
        return
    rows, others = (np.concatenate([np.roll(part, shift) for part in together]) for shift in (0, 1))
    base, other = (Sample(*(array[which] for array in sample)) for which in (rows, others))
    for chosen, end in chunked(base):
        yield Pairs(*(Sample(*(array[chosen, :end] for array in whole)) for whole in (base, other)))


def _distances(
    program: Program, oracle: TorchTransformer, found: Sequence[Group], pairs: Sequence[Pairs], check_time: Callable[[], None]
) -> dict[Group, dict[Source, float]]:
    """From each group to each head the total variation between the two attentions; from an MLP to each MLP the distance of the values.

    Means over all positions where the prediction may depend on them: the scored ones alone, unless something attends to the variable.
    """
    totals: dict[Group, dict[Source, float]] = {group: {} for group in found}
    feeding, places = feeds_attention(program), 0
    for chunk in pairs:
        check_time()
        scored = chunk.base.scored
        real = np.cumsum(scored[:, ::-1], axis=1)[:, ::-1] > 0
        trace = evaluate(program, chunk.base.token_ids, chunk.base.position_ids)
        attention = {source: found.cpu().numpy() for source, found in oracle.attention(*chunk.base[:2]).items()}
        components = {source: found.cpu().numpy() for source, found in recorded(oracle, chunk.base).items()}
        for group in found:
            where = real if feeding & set(group) else scored
            if isinstance(program.by_name[group[0]], Aggregate):
                mine, theirs = trace.attention[group[0]], attention
                gaps = {source: np.abs(mine - weights).sum(-1)[where] / 2 for source, weights in theirs.items()}
            else:
                value = trace.value(group[0])
                gaps = {
                    s: np.linalg.norm(value - z, axis=-1)[where] for s, z in components.items() if isinstance(s, Source) and s.kind == "mlp"
                }
            for source, gap in gaps.items():
                totals[group][source] = totals[group].get(source, 0.0) + float(gap.mean()) * len(scored)
        places += len(scored)
    return {group: {source: total / places for source, total in gaps.items()} for group, gaps in totals.items()}


def _candidates(program: Program, group: Group, distances: Mapping[Source, float]) -> list[Components]:
    """The nearest component, the two nearest, and so on; for an MLP just the nearest."""
    nearest = sorted(distances, key=lambda source: distances[source])
    most = len(nearest) if isinstance(program.by_name[group[0]], Aggregate) else 1
    return [tuple(nearest[: n + 1]) for n in range(most)]


def _fewest(agreements: Mapping[Components, float]) -> Components:
    """The fewest components that agree nearly as often as any."""
    best = max(agreements.values())
    return min((parts for parts, agreement in agreements.items() if agreement >= best - NEARLY), key=len)


def recorded(oracle: TorchTransformer, sample: Sample) -> dict[Part, Tensor]:
    """Every head's keys, values and what it has read, and what every MLP puts out."""
    found: dict[Part, Tensor] = {}

    def record(part: Part, value: Tensor) -> Tensor:
        found[part] = value
        return value

    oracle(*sample[:2], record)
    return found


def patched(oracle: TorchTransformer, sample: Sample, values: Mapping[Part, Tensor]) -> np.ndarray:
    """The model's logits at the scored positions with some parts' values put in their place."""
    logits = oracle(*sample[:2], lambda part, value: values.get(part, value))
    return logits[torch.as_tensor(sample.scored, device=oracle.device)].cpu().numpy()


def looking_at(program: Program, name: str, base: Trace, other: Trace) -> np.ndarray:
    """What an average would be if it looked at another input's keys and values, with its own queries: (batch, time, size)."""
    statement = program.by_name[name]
    assert isinstance(statement, Aggregate)
    value = dense(other.taken(statement.value), other.logits.dtype)
    total = np.zeros((*value.shape[:2], value.shape[1]))
    for selector in statement.selectors:
        select = program.by_name[selector]
        assert isinstance(select, Select)
        part = Scores(base.taken(select.query), program.matrix(selector).astype(total.dtype), other.taken(select.key))
        total += part.block(slice(None), slice(None), slice(None))
    return softmax(total, None if program.header.bidirectional else 0) @ value


def _parts(components: Components, swap: Swap) -> list[Part]:
    """What is patched in the model."""
    if swap == "value":
        return list(components)
    return [Consumer(kind, source.layer, source.head) for source in components for kind in ("key", "value")]


def _count(
    program: Program,
    oracle: TorchTransformer,
    pairs: Sequence[Pairs],
    candidates: Mapping[Group, Sequence[Components]],
    rng: np.random.Generator,
    check_time: Callable[[], None],
    swaps: Sequence[Swap] = ("value",),
) -> dict[tuple[Group, Components, Swap], Counts]:
    """Swaps each group in the program, and each of its candidates in the model."""
    found = {(group, parts, swap): Counts() for group, several in candidates.items() for parts in several for swap in swaps}
    if not found:
        return found
    predict = program.header.predict
    for chunk in pairs:
        check_time()
        keys = rng.random(chunk.base.scored.shape)
        before = program_predictions(program, chunk.base), predictions(patched(oracle, chunk.base, {}), predict)
        base, other = (evaluate(program, *sample[:2]) for sample in (chunk.base, chunk.other))
        values = recorded(oracle, chunk.other)
        for (group, components, swap), counts in found.items():
            if swap == "reading" and components[0].kind == "mlp":
                continue
            check_time()
            mine = {name: other.value(name) if swap == "value" else looking_at(program, name, base, other) for name in group}
            theirs = {part: values[part] for part in _parts(components, swap)}
            after = program_predictions(program, chunk.base, mine), predictions(patched(oracle, chunk.base, theirs), predict)
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


def _as_json(group: Group, chosen: Components, distances: Mapping[Source, float], counts: Sequence[Counts]) -> dict[str, object]:
    agreement = counts[0].agreement
    measure = "total_variation" if chosen[0].kind == "head" else "distance"
    return {
        "variables": list(group),
        "stands_for": [
            {"kind": s.kind, "layer": s.layer, **({"head": s.head} if s.kind == "head" else {}), measure: round(distances[s], 4)}
            for s in chosen
        ],
        **{swap: _counted(found) for swap, found in zip(SWAPS, counts, strict=True)},
        "faithful": None if agreement is None else agreement >= FAITHFUL,
    }


def _counted(counts: Counts) -> dict[str, object]:
    unmoved = round(counts.still / counts.changed, 6) if counts.changed else None
    return {
        "changed": _share(counts.changed_agree, counts.changed),
        "all": _share(counts.agree, counts.pairs),
        "baseline": {"unmoved": unmoved},
    }


def _share(agree: int, pairs: int) -> dict[str, object] | None:
    if not pairs:
        return None
    low, high = wilson(agree / pairs, pairs)
    return {"agreement": round(agree / pairs, 6), "low": round(low, 6), "high": round(high, 6), "pairs": pairs}
