"""How well a program agrees with its model: match on fresh sequences, by length band, always by the fast interpreter."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from drasp.core.parallel import in_order
from drasp.errors import TaskError
from drasp.ir.nodes import Prediction, Project, Select
from drasp.ir.program import Predict, Program, feeds_attention
from drasp.run.numpy_fast import evaluate
from drasp.run.numpy_fast import logits as reference_logits
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_answers, checked_sample

if TYPE_CHECKING:
    from drasp.model.forward import TorchTransformer

BAND_EDGES = ((0, 50), (51, 100), (101, 150))
Z = 1.959964  # standard deviations of a normal distribution that hold 95 % of it
PAIRS_PER_CHUNK = 1 << 22  # query-key pairs the interpreter handles at once: 32 MB a score matrix

Logits = Callable[[np.ndarray, np.ndarray], np.ndarray]


def bands(lengths: tuple[int, int]) -> list[tuple[int, int]]:
    """The length bands cut to `lengths`; what lies beyond the last band belongs to it."""
    low, high = lengths
    cut = []
    for start, end in BAND_EDGES:
        end = max(end, high) if end == BAND_EDGES[-1][1] else end
        if max(low, start) <= min(high, end):
            cut.append((max(low, start), min(high, end)))
    return cut


def has_sequences(task: Task, lengths: tuple[int, int]) -> bool:
    """Whether the task can draw a sequence whose length is in `lengths`."""
    try:
        checked_sample(task, np.random.default_rng(0), 1, lengths)
    except TaskError:
        return False
    return True


def task_bands(task: Task, lengths: tuple[int, int]) -> list[tuple[int, int]]:
    """The length bands in which the task has sequences. Raises TaskError if there is none."""
    found = [band for band in bands(lengths) if has_sequences(task, band)]
    if not found:
        raise TaskError(f"task {task.name}: it draws no sequence of a length in {lengths[0]}-{lengths[1]}")
    return found


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of n."""
    z = Z
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Share:
    """A share of sequences with its 95 % Wilson interval."""

    lengths: tuple[int, int]
    right: int
    sequences: int

    @property
    def accuracy(self) -> float:
        return self.right / self.sequences

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.accuracy, self.sequences)

    def as_json(self) -> dict[str, object]:
        low, high = self.interval
        return {
            "lengths": list(self.lengths),
            "accuracy": round(self.accuracy, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "sequences": self.sequences,
        }


@dataclass(frozen=True)
class Banded:
    """One share over all sequences and one for each band."""

    bands: tuple[Share, ...]

    @property
    def all(self) -> Share:
        low, high = self.bands[0].lengths[0], self.bands[-1].lengths[1]
        return Share((low, high), sum(s.right for s in self.bands), sum(s.sequences for s in self.bands))

    @property
    def worst(self) -> Share:
        return min(self.bands, key=lambda s: s.interval[0])

    def as_json(self) -> dict[str, object]:
        return {"all": self.all.as_json(), "bands": [s.as_json() for s in self.bands]}


@dataclass(frozen=True)
class Chunk:
    """Sequences of similar length and what the model predicts at their scored positions.

    Attributes:
        sample: cut behind the last scored position of the chunk.
        rows: (scored positions), the sequence of each.
        model: predictions, see `predictions`.
        truth: the task's true answers in the same form; empty where the sequences were changed, and nobody knows them.
    """

    sample: Sample
    rows: np.ndarray
    model: np.ndarray
    truth: np.ndarray
    band: int

    def right(self, predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """For each sequence whether every scored prediction is as wanted."""
        return np.bincount(self.rows[~alike(predicted, wanted)], minlength=len(self.sample.token_ids)) == 0


@dataclass(frozen=True)
class Judge:
    """Fresh sequences, spread evenly over the bands, with the model's predictions and the true answers."""

    predict: Predict
    bands: tuple[tuple[int, int], ...]
    chunks: tuple[Chunk, ...]

    def score(self, right: Callable[[Chunk], np.ndarray], among: Callable[[Chunk], np.ndarray] | None = None) -> Banded:
        """Counts the sequences that `right` marks, band by band, of those that `among` marks. Bands without any are left out."""
        counts = [[0, 0] for _ in self.bands]

        def marks(chunk: Chunk) -> np.ndarray:
            kept = np.ones(len(chunk.sample.token_ids), dtype=bool) if among is None else among(chunk)
            return right(chunk)[kept] if kept.any() else kept[:0]

        for chunk, marked in zip(self.chunks, in_order(marks, self.chunks), strict=True):
            counts[chunk.band][0] += int(marked.sum())
            counts[chunk.band][1] += len(marked)
        return Banded(tuple(Share(lengths, r, n) for lengths, (r, n) in zip(self.bands, counts, strict=True) if n))

    def thinned(self, every: int) -> "Judge":
        """Every n-th chunk, one of each band at the least."""
        kept = set(range(0, len(self.chunks), every))
        for band in range(len(self.bands)):
            kept.add(next(i for i, c in enumerate(self.chunks) if c.band == band))
        return Judge(self.predict, self.bands, tuple(self.chunks[i] for i in sorted(kept)))


Predictor = Callable[[Chunk], np.ndarray]
"""What is predicted at the scored positions of a chunk, as `predictions` gives it."""


def predictions(logits: np.ndarray, predict: Predict) -> np.ndarray:
    """What logits (n, vocabulary) predict: token ids (n), or for sets booleans (n, vocabulary)."""
    return logits.argmax(-1) if predict == "next-token" else logits > 0


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each of some predictions whether it is the same in both: (n)."""
    same = np.asarray(first == second)
    return np.asarray(same.all(1)) if same.ndim == 2 else same


def numpy_logits(model: "TorchTransformer") -> Logits:
    """A model in torch as what the judge asks."""
    return lambda token_ids, position_ids: model(token_ids, position_ids).cpu().numpy()


def make_judge(
    task: Task,
    model: Logits,
    lengths: tuple[int, int],
    sequences: int,
    rng: np.random.Generator,
    change: Callable[[Sample], Sample] | None = None,
) -> Judge:
    """Draws `sequences` fresh ones, as many from each band, and records what the model predicts on them.

    Args:
        change: what is done to what was drawn, before the model sees it; it may leave sequences out.
    """
    cut = task_bands(task, lengths)
    chunks = []
    for band, low_high in enumerate(cut):
        count = sequences // len(cut) + (band < sequences % len(cut))
        drawn = checked_sample(task, rng, count, low_high)
        if change is not None:
            drawn = change(drawn)
        whole = [(Sample(*(array[rows] for array in drawn)), end) for rows, end in chunked(drawn)]
        samples = [Sample(*(array[:, :end] for array in part)) for part, end in whole]
        labels = in_order(lambda s: predictions(model(s.token_ids, s.position_ids)[s.scored], task.predict), samples)
        for (part, end), sample, label in zip(whole, samples, labels, strict=True):
            # What comes last may tell the answers.
            truth = checked_answers(task, part)[:, :end][sample.scored] if change is None else np.zeros(0)
            chunks.append(Chunk(sample, np.nonzero(sample.scored)[0], label, truth, band))
    return Judge(task.predict, tuple(cut), tuple(chunks))


def chunked(sample: Sample) -> Iterator[tuple[np.ndarray, int]]:
    """The sequences in order of length, in chunks that fit in memory: which they are, and the end of what is scored in them."""
    ends = sample.ends
    order = np.argsort(ends, kind="stable")
    start = 0
    while start < len(order):
        size = 1
        while start + size < len(order) and (size + 1) * int(ends[order[start + size]]) ** 2 <= PAIRS_PER_CHUNK and size < 1000:
            size += 1
        chosen = order[start : start + size]
        yield chosen, int(ends[chosen].max())
        start += size


def program_predictions(program: Program, sample: Sample, constants: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """What the program predicts at the scored positions; `constants` as in `drasp.run.numpy_fast.evaluate`."""
    found = reference_logits(program, sample.token_ids, sample.position_ids, constants=constants, scored=sample.scored)
    return predictions(found, program.header.predict)


def predictor(program: Program, judge: Judge, constants: Mapping[str, np.ndarray] | None = None) -> Predictor:
    """The same for the chunks of a judge, each of which is run once, when it is asked for."""
    places = {id(chunk): place for place, chunk in enumerate(judge.chunks)}
    cache: dict[int, np.ndarray] = {}

    def predicted(chunk: Chunk) -> np.ndarray:
        place = places[id(chunk)]
        if place not in cache:
            cache[place] = program_predictions(program, chunk.sample, constants)
        return cache[place]

    return predicted


def program_match(program: Program, judge: Judge, constants: Mapping[str, np.ndarray] | None = None) -> tuple[Banded, Banded]:
    """Match with the model, and accuracy against the true answers; `constants` as in `drasp.run.numpy_fast.evaluate`."""
    predicted = predictor(program, judge, constants)
    match = judge.score(lambda c: c.right(predicted(c), c.model))
    return match, judge.score(lambda c: c.right(predicted(c), c.truth))


def model_accuracy(judge: Judge) -> Banded:
    """The model against the true answers."""
    return judge.score(lambda c: c.right(c.model, c.truth))


def baselines(judge: Judge, fitting: Judge) -> dict[str, Banded]:
    """Match of what is trivial, see `trivial`."""
    return {name: judge.score(lambda c, p=p: c.right(p(c), c.model)) for name, p in trivial(fitting).items()}  # type: ignore[misc]


def trivial(fitting: Judge) -> dict[str, Predictor]:
    """What is trivial: the model's commonest prediction, and the commonest for each current token, read off some sequences."""
    labels, tokens = [], []
    for chunk in fitting.chunks:
        labels.append(chunk.model)
        tokens.append(chunk.sample.token_ids[chunk.sample.scored])
    label, token = np.concatenate(labels), np.concatenate(tokens)
    constant = _commonest(label)
    table = {int(t): _commonest(label[token == t]) for t in np.unique(token)}

    def by_token(chunk: Chunk) -> np.ndarray:
        current, places = np.unique(chunk.sample.token_ids[chunk.sample.scored], return_inverse=True)
        return np.stack([table.get(int(t), constant) for t in current])[places]

    return {"constant": lambda chunk: np.broadcast_to(constant, chunk.model.shape), "current_token": by_token}


def _commonest(labels: np.ndarray) -> np.ndarray:
    values, counts = np.unique(labels, axis=0, return_counts=True)
    return values[counts.argmax()]


def line_costs(program: Program, judge: Judge, deadline: float = inf) -> list[dict[str, object]]:
    """For each statement but the prediction, the match without it: its value replaced by its mean, a selector left out.

    No statement is begun that would not be done by `deadline`, a time of `time.monotonic`, if it took as long as the longest so far.
    """
    costs: list[dict[str, object]] = []
    began = time.monotonic()
    if began >= deadline:
        return costs
    means = _means(program, judge)
    longest = time.monotonic() - began
    for statement in program.statements:
        if isinstance(statement, Prediction):
            continue
        began = time.monotonic()
        if began + longest > deadline:
            break
        match, _ = program_match(program, judge, {statement.name: means[statement.name]})
        costs.append({"statement": statement.name, "match": round(min(s.accuracy for s in match.bands), 6)})
        longest = max(longest, time.monotonic() - began)
    return costs


def _means(program: Program, judge: Judge) -> dict[str, np.ndarray]:
    """The mean of each projection over the scored positions, of each variable over all but padding; for a selector an empty array."""
    totals: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    feeding = feeds_attention(program)
    for chunk in judge.chunks:
        trace = evaluate(program, chunk.sample.token_ids, chunk.sample.position_ids)
        scored = chunk.sample.scored
        real = np.arange(scored.shape[1]) <= scored.shape[1] - 1 - scored[:, ::-1].argmax(1)[:, None]
        for statement in program.statements:
            if isinstance(statement, Prediction | Select):
                continue
            where = scored if isinstance(statement, Project) or statement.name not in feeding else real
            value = (trace.projections if isinstance(statement, Project) else trace.values)[statement.name][where]
            totals[statement.name] = totals.get(statement.name, 0) + value.sum(0)
            counts[statement.name] = counts.get(statement.name, 0) + len(value)
    means = {name: total / counts[name] for name, total in totals.items()}
    return means | {s.name: np.zeros(0) for s in program.statements if isinstance(s, Select)}
