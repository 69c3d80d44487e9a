"""Attention: is the one that the program names the model's?

Each attention of the program is compared with each head's, and then put into the heads that it stands for: activation patching (Vig et al.,
"Causal mediation analysis for interpreting neural NLP", 2020). If it is theirs, the model predicts what it did. At the end all of them are
put in at once, and the heads that no attention is near to are ablated: what the program does not name must not matter either. Or, where the
model bears that better, each of them attends as the closest one too: heads that are alike in what they do need not be alike in how.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from drasp.core.intervals import Banded, Share
from drasp.core.parallel import in_order
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, Row
from drasp.ir.nodes import Aggregate
from drasp.ir.program import Program
from drasp.learn.evaluation import Chunk, ChunkTuning, chunked, predictions, spend, task_bands, work
from drasp.model.wiring import Sender
from drasp.run.numpy_fast import Trace, evaluate
from drasp.tasks.protocol import Sample
from drasp.tasks.user import different_sample

if TYPE_CHECKING:
    from torch import Tensor

    from drasp.model.forward import Hook, Part

Result = TypeVar("Result")

Selectors = tuple[str, ...]
"""What an attention is known by; none: it is uniform."""
Head = tuple[int, int]
"""Its layer, and its place there."""


@dataclass(frozen=True)
class Attended:
    """An attention of the program and the heads of the model that it stands for.

    Attributes:
        selectors: none: it is uniform.
        averages: those that it gives.
        heads: all that it is close to; where there is none, the closest.
        total_variation: between it and that of these heads which is farthest from it.
        close: whether that is little. If not, it is not the model's, but it may do the same there.
        patched: how often the model predicts what it did when these heads attend so, in the worst length band.
        faithful: whether that is as often as is asked of the program; where it matches less, but as often as is worth having, as often
            as it matches the same sequences.
    """

    selectors: Selectors
    averages: tuple[str, ...]
    heads: tuple[Head, ...]
    total_variation: float
    close: bool
    patched: Share
    faithful: bool

    @property
    def statements(self) -> tuple[str, ...]:
        """The lines that it hangs on."""
        return self.selectors + self.averages


@dataclass(frozen=True)
class Attention:
    """All attention of the program.

    Attributes:
        together: how often the model predicts what it did when all heads attend as the program says, in the worst length band.
        rest: what the heads do there that no attention stands for.
        faithful: whether that, and each attention alone, is as often as is asked of the program, or as it matches.
    """

    attentions: tuple[Attended, ...]
    together: Share
    faithful: bool
    rest: Literal["ablated", "attend as the closest"] = "ablated"


@dataclass(frozen=True)
class AttentionTuning(KindTuning):
    """It decides the verdict, and gets what it needs of what is left."""

    least: int = knob(50, unit="sequences a band", origin="chosen: two misses among 50 are beyond a standard error of .99")
    most: int = knob(300, unit="sequences", origin="chosen: 100 a band, of which three misses are beyond it")
    enough: int = knob(100, unit="sequences a band, for which it may take all that is left", origin="chosen: the verdict hangs on it")
    close: float = knob(0.05, unit="total variation at the most", origin="that of a named attention that is not `behaviour only`")
    pairs: int = knob(1 << 23, unit="query-key pairs at once, of all heads and attentions", origin="chosen: 64 MB in double precision")


def attention(bench: Bench, tuning: AttentionTuning) -> Attention:
    """Compares and patches each attention of the program.

    Raises:
        OutOfBudget: the budget is spent.
    """
    both = _Both(bench)
    drawn = list(_drawn(bench, tuning, len(both.heads) + len(both.attentions)))
    seen = both.each(both.look, drawn, 2)
    chunks = [each.chunk for each in seen]
    distances = both.distances(seen)
    own, owner = stand_for(distances, tuning.close)
    means = both.means(seen)
    runs = [_Patch(dict.fromkeys(heads, key), {}) for key, heads in own.items()]
    runs.append(_Patch(owner, {head: mean for head, mean in means.items() if head not in owner}))
    if distances and len(owner) < len(both.heads):
        runs.append(_Patch({head: min(distances, key=lambda key: distances[key][head]) for head in both.heads} | owner, {}))
    right = both.each(lambda chunk: both.patched(chunk, runs), chunks, len(runs))
    bands = task_bands(bench.question.examinee.task, bench.question.settings.lengths)
    shares = [
        _banded(bands, [(chunk.band, marks[run]) for chunk, marks in zip(chunks, right, strict=True)]).worst for run in range(len(runs))
    ]

    program, asked = _banded(bands, [(each.chunk.band, each.alike) for each in seen]), bench.question.settings
    wanted = min(asked.match, program.worst.accuracy) if program.all.accuracy >= asked.least else asked.match

    def attended(key: Selectors, patched: Share) -> Attended:
        far = max(distances[key][head] for head in own[key])
        heads = tuple((head.layer, head.head) for head in own[key])
        averages = both.attentions[key]
        return Attended(key, averages, heads, round(far, 4), far <= tuning.close, patched, holds(patched, wanted))

    found, wholes = tuple(map(attended, own, shares)), shares[len(own) :]
    together = max(wholes, key=lambda share: share.accuracy)
    faithful = all(each.faithful for each in found) and holds(together, wanted)
    return Attention(found, together, faithful, "ablated" if together is wholes[0] else "attend as the closest")


def attentions(program: Program) -> dict[Selectors, tuple[str, ...]]:
    """Every attention of a program with the averages that it gives."""
    found: dict[Selectors, tuple[str, ...]] = {}
    for statement in program.statements:
        if isinstance(statement, Aggregate):
            found[statement.selectors] = (*found.get(statement.selectors, ()), statement.name)
    return found


def stand_for(
    distances: Mapping[Selectors, Mapping[Sender, float]], close: float
) -> tuple[dict[Selectors, tuple[Sender, ...]], dict[Sender, Selectors]]:
    """For each attention the heads that it stands for, and for each head that one does the closest that claims it.

    An attention claims the heads that it is close to, else the closest. One that is left without any stands for its closest all the same,
    when it is put there alone.
    """
    claims = {key: [h for h, far in each.items() if far <= close] or [min(each, key=lambda h: each[h])] for key, each in distances.items()}
    owner: dict[Sender, Selectors] = {}
    for key, heads in claims.items():
        for head in heads:
            if head not in owner or distances[key][head] < distances[owner[head]][head]:
                owner[head] = key
    own = {key: tuple(h for h in heads if owner[h] == key) for key, heads in claims.items()}
    return {key: heads or (min(claims[key], key=lambda h: distances[key][h]),) for key, heads in own.items()}, owner


def holds(share: Share, match: float) -> bool:
    """Whether a share is what was asked for, within its standard error."""
    return share.accuracy >= match - sqrt(share.accuracy * (1 - share.accuracy) / share.sequences)


def _banded(bands: Sequence[tuple[int, int]], marked: Sequence[tuple[int, np.ndarray]]) -> Banded:
    """By band the share of sequences that are marked right."""
    counts = [
        (lengths, sum(int(marks.sum()) for at, marks in marked if at == band), sum(len(marks) for at, marks in marked if at == band))
        for band, lengths in enumerate(bands)
    ]
    found = Banded.of(counts)
    assert found is not None, "every band has sequences"
    return found


def _drawn(bench: Bench, tuning: AttentionTuning, maps: int) -> Iterator[Chunk]:
    """Fresh sequences, as many of each band, without answers, in chunks whose attention, so many maps of it, fits in memory."""
    task, rng = bench.question.examinee.task, bench.rng(Stream.ATTENTION)
    bands = task_bands(task, bench.question.settings.lengths)
    for band, lengths in enumerate(bands):
        sample = different_sample(task, rng, bench.sequences // len(bands) + (band < bench.sequences % len(bands)), lengths)
        for rows, end in chunked(sample, bench.question.study.bidirectional, ChunkTuning(pairs=tuning.pairs // maps)):
            part = Sample(*(array[rows, :end] for array in sample))
            yield Chunk(part, np.nonzero(part.scored)[0], np.zeros(0), np.zeros(0), band)


@dataclass(frozen=True)
class _Seen:
    """What program and model do on a chunk, summed over the places that count.

    Attributes:
        alike: of each sequence, whether the program predicts what the model does.
        gaps: total variation between an attention and a head, and over how many queries. reads: what a head has read, and over how many.
    """

    chunk: Chunk
    alike: np.ndarray
    gaps: Mapping[tuple[Selectors, Sender], tuple[float, int]]
    reads: Mapping[Sender, tuple[np.ndarray, int]]


@dataclass(frozen=True)
class _Patch:
    """How the model is to attend: some heads as the program says, and what others put out instead of what they read."""

    attends: Mapping[Sender, Selectors]
    means: Mapping[Sender, np.ndarray]


class _Both:
    """Program and model."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.program, self.oracle = bench, bench.program, bench.question.study.oracle
        self.attentions = attentions(bench.program)
        self.bidirectional = bench.question.study.bidirectional
        self.heads = [Sender("head", layer, head) for layer in range(self.oracle.layers) for head in range(self.oracle.heads)]

    def run(self, sample: Sample) -> Trace:
        """All that the program computes."""
        return evaluate(self.program, sample.token_ids, sample.position_ids)

    def weights(self, trace: Trace) -> dict[Selectors, np.ndarray]:
        """What each attention of the program gives to each key, (batch, time, time)."""
        return {key: trace.attention[averages[0]].astype(np.float32) for key, averages in self.attentions.items()}

    def each(self, function: Callable[[Chunk], Result], chunks: Sequence[Chunk], runs: int) -> list[Result]:
        """A function of each chunk, several at once, which runs the program once and the model so many times."""
        found = []
        for chunk, result in zip(chunks, in_order(function, chunks, self.bench.budget), strict=True):
            spend(self.bench.budget, (len(self.program.statements) + runs * self.bench.question.parts) * work(chunk.sample))
            found.append(result)
        return found

    def look(self, chunk: Chunk) -> _Seen:
        """What program and model do."""
        sample = chunk.sample
        reads: dict[Sender, np.ndarray] = {}

        def hook(part: "Part", value: "Tensor") -> "Tensor":
            if isinstance(part, Sender) and part.kind == "head":
                reads[part] = value.cpu().numpy()[self._counts(part, sample)]
            return value

        logits = self.oracle(*sample[:2], hook).cpu().numpy()[sample.scored]
        chunk = replace(chunk, model=predictions(logits, self.bench.question.study.task.predict))
        trace = self.run(sample)
        mine, theirs = self.weights(trace), {}
        if mine:
            theirs = {head: found.cpu().numpy() for head, found in self.oracle.attention(*sample[:2]).items()}
        gaps = {}
        for head, found in theirs.items():
            where = self._counts(head, sample)
            for key, weights in mine.items():
                gaps[key, head] = float(np.abs(weights[where] - found[where]).sum(dtype=float)) / 2, int(where.sum())
        alike = chunk.right(predictions(trace.logits[sample.scored], self.program.header.predict), chunk.model)
        return _Seen(chunk, alike, gaps, {head: (read.sum(0, dtype=float), len(read)) for head, read in reads.items()})

    def _counts(self, head: Sender, sample: Sample) -> np.ndarray:
        """(batch, time), where it matters what a head attends to: of the last layer at the scored positions alone. What stands first sees
        a single key, itself, whatever it attends to, where attention is causal.
        """
        last = head.layer == self.oracle.layers - 1
        places = np.arange(sample.scored.shape[1])
        return (sample.scored if last else sample.real(self.bidirectional)) & (self.bidirectional | (places > 0))

    def distances(self, seen: Sequence[_Seen]) -> dict[Selectors, dict[Sender, float]]:
        """The mean total variation; 0 where no query that counts sees more than one key."""

        def mean(key: Selectors, head: Sender) -> float:
            total, count = (sum(each) for each in zip(*(one.gaps[key, head] for one in seen), strict=True))
            return total / max(count, 1)

        return {key: {head: mean(key, head) for head in self.heads} for key in self.attentions}

    def means(self, seen: Sequence[_Seen]) -> dict[Sender, np.ndarray]:
        """What each head reads in the mean."""

        def mean(head: Sender) -> np.ndarray:
            total = np.sum([one.reads[head][0] for one in seen], axis=0)
            return np.asarray(total / max(sum(one.reads[head][1] for one in seen), 1))

        return {head: mean(head) for head in self.heads}

    def patched(self, chunk: Chunk, runs: Sequence[_Patch]) -> list[np.ndarray]:
        """For each way to patch the model, and each sequence, whether it predicts what it does otherwise."""
        import torch

        sample, device = chunk.sample, self.oracle.device
        mine = self.weights(self.run(sample)) if self.attentions else {}
        weights = {key: torch.as_tensor(found, device=device) for key, found in mine.items()}
        found = []
        for run in runs:
            means = {head: torch.as_tensor(mean, device=device) for head, mean in run.means.items()}
            logits = self.oracle(*sample[:2], _hook({head: weights[key] for head, key in run.attends.items()}, means, self.bidirectional))
            predicted = predictions(logits.cpu().numpy()[sample.scored], self.bench.question.study.task.predict)
            found.append(chunk.right(predicted, chunk.model))
        return found


def _hook(weights: "Mapping[Sender, Tensor]", means: "Mapping[Sender, Tensor]", bidirectional: bool = False) -> "Hook":
    """Makes some heads attend as given, and others put out what is given, but for what stands first and reads itself alone, where attention
    is causal.
    """
    import torch

    from drasp.model.forward import attending

    patched = attending(weights)

    def hook(part: "Part", value: "Tensor") -> "Tensor":
        if isinstance(part, Sender) and part in means:
            alone = 0 if bidirectional else 1
            return torch.cat([value[:, :alone], means[part].to(value.dtype).expand_as(value[:, alone:])], 1)
        return patched(part, value)

    return hook


def not_the_models(found: Attention) -> str:
    """A sentence on what fails; empty where nothing does."""
    if found.faithful:
        return ""
    failing = [each for each in found.attentions if not each.faithful]
    if not failing:
        return f"not all of the model's attention is in the program: {_together(found)}"
    said = (f"that of {_name(each)} is not (for {_heads(each)}: {_said(each)})" for each in failing)
    return f"not all of its attention is the model's: {'; '.join(said)}"


def _name(each: Attended) -> str:
    return f"{', '.join(each.averages)} ({'+'.join(each.selectors) or 'uniform'})"


def _heads(each: Attended) -> str:
    return "head " + ", ".join(f"{layer}.{head}" for layer, head in each.heads)


def _said(each: Attended) -> str:
    return f"total variation {each.total_variation:.3f}; in its place the model predicts the same on {_share(each.patched)}"


def _together(found: Attention) -> str:
    rest = "other heads ablated" if found.rest == "ablated" else "other heads as the closest"
    what = f"all of it in place, {rest}," if found.attentions else "all heads ablated,"
    return f"{what} the model predicts the same on {_share(found.together)}"


def _share(share: Share) -> str:
    low, high = share.lengths
    return f"{share.accuracy:.3f} [{share.low:.3f}, {share.high:.3f}] of sequences at {low}-{high}"


def _measure(bench: Bench, tuning: AttentionTuning) -> Mapping[str, Any]:
    return {"attention": attention(bench, tuning)}


def _rows(found: Attention | None) -> Sequence[Row]:
    if found is None:
        return []
    rows = []
    for each in found.attentions:
        mark = "" if each.close else "not close to the model's attention"
        mark = mark if each.faithful else "not the model's attention"
        rows.append(Row("attention", f"{_name(each)} for {_heads(each)}", _said(each) + f"; {mark}" * bool(mark), each.statements, mark))
    return [*rows, Row("attention", "", _together(found))]


ATTENTION = Kind(
    name="attention",
    question="Is the attention that the program names the model's: does the model predict the same when its heads attend so?",
    how="On fresh sequences, each attention put in the place of the heads that it is closest to, then all of them, other heads ablated.",
    runs=lambda program: 4.0 + len(attentions(program)),
    measure=_measure,
    rows=_rows,
    tuning=AttentionTuning(),
    decides=True,
    a_band=True,
)
