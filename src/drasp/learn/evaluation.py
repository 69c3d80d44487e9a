"""Evaluation sets: fresh sequences by length band, what the model predicts on them, what a program does, and what is trivial."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drasp.core.budget import Budget
from drasp.core.intervals import Banded, bands
from drasp.core.parallel import in_order
from drasp.core.tuning import knob
from drasp.errors import TaskError
from drasp.ir.program import Predict, Program
from drasp.run.numpy_fast import logits as reference_logits
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_answers, checked_sample, different_sample

if TYPE_CHECKING:
    from drasp.model.forward import TorchTransformer

Logits = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A model: token ids and position ids, (batch, time) each, to logits (batch, time, vocabulary)."""
Change = Callable[[Sample], Sample]


@dataclass(frozen=True)
class ChunkTuning:
    """How large a chunk of sequences is that the interpreter runs at once. A full chunk is the unit of work."""

    pairs: int = knob(1 << 22, unit="query-key pairs", origin="chosen: 32 MB a score matrix")
    sequences: int = knob(1000, unit="sequences", origin="chosen: more are no faster")


CHUNKS = ChunkTuning()


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


@dataclass(frozen=True)
class Chunk:
    """Sequences of similar length and what the model predicts at their scored positions.

    Attributes:
        sample: cut behind what the scored predictions of the chunk can depend on.
        rows: (scored positions), the sequence of each.
        model: predictions, see `predictions`.
        truth: the task's true answers in the same form, -1 where nobody knows them; empty where the sequences were changed.
        band: the place of their length band in the evaluation set.
    """

    sample: Sample
    rows: np.ndarray
    model: np.ndarray
    truth: np.ndarray
    band: int

    def right(self, predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """For each sequence whether every scored prediction is as wanted, where it is known what is."""
        wrong = ~alike(predicted, wanted) & known(wanted)
        return np.bincount(self.rows[wrong], minlength=len(self.sample.token_ids)) == 0


Predictor = Callable[[Chunk], np.ndarray]
"""What is predicted at the scored positions of a chunk, as `predictions` gives it."""


@dataclass(frozen=True)
class EvaluationSet:
    """Fresh sequences, spread evenly over the bands, with the model's predictions and the true answers.

    Attributes:
        all_inputs: whether these are all that there are.
    """

    predict: Predict
    bands: tuple[tuple[int, int], ...]
    chunks: tuple[Chunk, ...]
    all_inputs: bool = False

    @property
    def sequences(self) -> int:
        return sum(len(chunk.sample.token_ids) for chunk in self.chunks)

    def score(self, right: Callable[[Chunk], np.ndarray], among: Callable[[Chunk], np.ndarray] | None = None) -> Banded | None:
        """Counts the sequences that `right` marks, band by band, of those that `among` marks. None where that marks none."""
        counts = [[0, 0] for _ in self.bands]
        for chunk in self.chunks:
            marked = right(chunk)
            kept = marked if among is None else marked[among(chunk)]
            counts[chunk.band][0] += int(kept.sum())
            counts[chunk.band][1] += len(kept)
        return Banded.of([(lengths, right, n) for lengths, (right, n) in zip(self.bands, counts, strict=True)], self.all_inputs)

    def share(self, right: Callable[[Chunk], np.ndarray]) -> Banded:
        """The same of all sequences."""
        found = self.score(right)
        assert found is not None, "an evaluation set is never empty"
        return found

    def match(self, predicted: Predictor) -> Banded:
        """The share of sequences on which all that is predicted is what the model predicts."""
        return self.share(lambda chunk: chunk.right(predicted(chunk), chunk.model))

    @property
    def answered(self) -> bool:
        """Whether it is known anywhere what is right."""
        return any(known(chunk.truth).any() for chunk in self.chunks)

    def accuracy(self, predicted: Predictor) -> Banded | None:
        """The share on which all that is predicted is true; None where nobody knows what is."""
        return self.share(lambda chunk: chunk.right(predicted(chunk), chunk.truth)) if self.answered else None

    def thinned(self, every: int) -> "EvaluationSet":
        """Every n-th chunk, one of each band at the least."""
        kept = set(range(0, len(self.chunks), every))
        for band in {chunk.band for chunk in self.chunks}:
            kept.add(next(i for i, chunk in enumerate(self.chunks) if chunk.band == band))
        every_one = self.all_inputs and len(kept) == len(self.chunks)
        return EvaluationSet(self.predict, self.bands, tuple(self.chunks[i] for i in sorted(kept)), every_one)


@dataclass(frozen=True)
class Examinee:
    """A model under evaluation and the task that gives the sequences.

    Attributes:
        parts: how many units of work the model takes on a full chunk.
        all_inputs: whether the task has every input that there is.
        bidirectional: whether its attention sees what comes later too.
    """

    task: Task
    logits: Logits
    lengths: tuple[int, int]
    parts: int = 1
    all_inputs: bool = False
    bidirectional: bool = False


def by_the_model(chunk: Chunk) -> np.ndarray:
    """The model as what predicts."""
    return chunk.model


def predictions(logits: np.ndarray, predict: Predict) -> np.ndarray:
    """What logits (n, vocabulary) predict: token ids (n), or for sets booleans (n, vocabulary)."""
    return logits.argmax(-1) if predict == "next-token" else logits > 0


def known(wanted: np.ndarray) -> np.ndarray:
    """For each of some true answers whether anybody knows it: (n)."""
    return np.asarray(wanted != -1) if wanted.ndim == 1 else np.ones(len(wanted), dtype=bool)


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each of some predictions whether it is the same in both: (n)."""
    same = np.asarray(first == second)
    return np.asarray(same.all(1)) if same.ndim == 2 else same


def numpy_logits(model: "TorchTransformer") -> Logits:
    """A model in torch as what is asked here."""
    return lambda token_ids, position_ids: model(token_ids, position_ids).cpu().numpy()


def work(sample: Sample) -> float:
    """How much of a full chunk some sequences are: each statement run on them is so many units of work."""
    count, end = sample.token_ids.shape
    return count * max(end * end / CHUNKS.pairs, 1 / CHUNKS.sequences)


def spend(budget: Budget, amount: float) -> None:
    """Counts work. Called by the thread that began, never by those beside it: what is spent when must not hang on their pace.

    Raises:
        OutOfBudget: the budget is spent.
    """
    budget.charge(amount)
    budget.check()


def draw(
    examinee: Examinee, sequences: int, rng: np.random.Generator, budget: Budget | None = None, change: Change | None = None
) -> EvaluationSet:
    """Draws `sequences` fresh ones, as many from each band, and records what the model predicts on them.

    Of a task that knows how many it has, none twice; so there may be fewer.

    Args:
        budget: what it is charged to; without limit by default.
        change: what is done to what was drawn, before the model sees it; it may leave sequences out.

    Raises:
        OutOfBudget: the budget is spent.
        TaskError: the task does not do what it should.
    """
    task, budget = examinee.task, budget or Budget.of_seconds()
    cut = task_bands(task, examinee.lengths)
    chunks = []
    per_band = _spread(examinee, sequences, rng, cut)
    all_inputs = examinee.all_inputs and change is None and sum(len(drawn.token_ids) for drawn in per_band) < sequences
    for band, drawn in enumerate(per_band):
        if change is not None:
            drawn = change(drawn)
        whole = [(Sample(*(array[rows] for array in drawn)), end) for rows, end in chunked(drawn, examinee.bidirectional)]
        samples = [Sample(*(array[:, :end] for array in part)) for part, end in whole]
        labels = in_order(lambda s: predictions(examinee.logits(s.token_ids, s.position_ids)[s.scored], task.predict), samples, budget)
        for (part, end), sample, label in zip(whole, samples, labels, strict=True):
            spend(budget, examinee.parts * work(sample))
            # What comes last may tell the answers.
            truth = checked_answers(task, part)[:, :end][sample.scored] if change is None else np.zeros(0)
            chunks.append(Chunk(sample, np.nonzero(sample.scored)[0], label, truth, band))
    return EvaluationSet(task.predict, tuple(cut), tuple(chunks), all_inputs)


def _spread(examinee: Examinee, sequences: int, rng: np.random.Generator, cut: Sequence[tuple[int, int]]) -> list[Sample]:
    """What is drawn of each band: all that there are, if these are no more than so many, else as many of each."""
    if examinee.all_inputs:
        every = [different_sample(examinee.task, rng, sequences, low_high) for low_high in cut]
        if sum(len(drawn.token_ids) for drawn in every) < sequences:
            return every
    counts = [sequences // len(cut) + (band < sequences % len(cut)) for band in range(len(cut))]
    return [different_sample(examinee.task, rng, count, low_high) for count, low_high in zip(counts, cut, strict=True)]


def chunked(sample: Sample, bidirectional: bool, chunks: ChunkTuning = CHUNKS) -> Iterator[tuple[np.ndarray, int]]:
    """The sequences in order of length, in chunks that fit in memory: which they are, and the end of what their scored predictions can
    depend on.
    """
    ends = sample.reach(bidirectional)
    order = np.argsort(ends, kind="stable")
    start = 0
    while start < len(order):
        size = 1
        while start + size < len(order) and size < chunks.sequences and (size + 1) * int(ends[order[start + size]]) ** 2 <= chunks.pairs:
            size += 1
        chosen = order[start : start + size]
        yield chosen, int(ends[chosen].max())
        start += size


def program_predictions(program: Program, sample: Sample, constants: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """What the program predicts at the scored positions; `constants` as in `drasp.run.numpy_fast.evaluate`."""
    found = reference_logits(program, sample.token_ids, sample.position_ids, constants=constants, scored=sample.scored)
    return predictions(found, program.header.predict)


def predictor(
    program: Program, evaluation: EvaluationSet, budget: Budget | None = None, constants: Mapping[str, np.ndarray] | None = None
) -> Predictor:
    """The program run on every chunk of an evaluation set, by the reference interpreter; `constants` as in `evaluate`.

    Raises:
        OutOfBudget: the budget is spent.
    """
    budget = budget or Budget.of_seconds()
    found: dict[int, np.ndarray] = {}
    ran = in_order(lambda chunk: program_predictions(program, chunk.sample, constants), evaluation.chunks, budget)
    for chunk, predicted in zip(evaluation.chunks, ran, strict=True):
        found[id(chunk)] = predicted
        spend(budget, len(program.statements) * work(chunk.sample))
    return lambda chunk: found[id(chunk)]


def trivial(fitting: EvaluationSet) -> dict[str, Predictor]:
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
    packed = np.packbits(labels, axis=1) if labels.ndim == 2 else labels  # fewer bytes to sort
    _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
    return labels[first[counts.argmax()]]
