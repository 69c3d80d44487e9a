"""Pools of sequences with the model's answers: what the learning passes fit and match programs on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from drasp.core.budget import Budget
from drasp.core.journal import Journal, digest
from drasp.core.parallel import in_order
from drasp.core.seeds import Stream
from drasp.learn.evaluation import alike, known, predictions, task_bands
from drasp.learn.tuning import PoolTuning
from drasp.model.forward import TorchTransformer
from drasp.model.transformer import Transformer
from drasp.tasks.protocol import Sample, Task, parts
from drasp.tasks.user import checked_answers, checked_sample


@dataclass(frozen=True)
class Study:
    """The model under study, and its task.

    Attributes:
        oracle: the model, ready to run.
    """

    transformer: Transformer
    task: Task
    oracle: TorchTransformer

    @property
    def device(self) -> torch.device:
        return self.oracle.device

    @property
    def bidirectional(self) -> bool:
        """Whether its attention sees what comes later too."""
        return self.transformer.bidirectional

    @property
    def searched(self) -> Task:
        """What the search sees of the task."""
        return parts(self.task).search

    @property
    def work(self) -> int:
        """What a batch costs, in statements: about as many as an expanded program has for heads, MLPs and output."""
        return len(self.transformer.blocks) * (4 * self.transformer.heads + 1) + 1


@dataclass(frozen=True)
class Batch:
    """Sequences of similar length with the model's answers.

    Attributes:
        token_ids, position_ids: (batch, time).  scored: (batch, time) booleans.
        rows: (scored positions), the sequence each scored position belongs to.
        model_logits: (scored positions, vocabulary).
        band: which length band, or -1.
        weight: how many of the sequences drawn each of these stands for.
    """

    token_ids: Tensor
    position_ids: Tensor
    scored: Tensor
    rows: Tensor
    model_logits: Tensor
    band: int
    weight: int = 1

    @property
    def sequences(self) -> int:
        return self.token_ids.shape[0]

    @property
    def sample(self) -> Sample:
        """The sequences as NumPy arrays."""
        return Sample(*(part.cpu().numpy() for part in (self.token_ids, self.position_ids, self.scored)))


@dataclass(frozen=True)
class Pools:
    """Everything that the search sees of the model.

    Attributes:
        short, long: batches to fit on, of short sequences and of all lengths.
        select, verify: to choose by, and to check the choice on; each batch within one band.
        bands: how many length bands there are.
        accuracy: of each band of `select`, how often all that the model predicts is right; 1 where nobody knows what is.
    """

    short: tuple[Batch, ...]
    long: tuple[Batch, ...]
    select: tuple[Batch, ...]
    verify: tuple[Batch, ...]
    bands: int
    accuracy: tuple[float, ...]


def draw_pools(study: Study, lengths: tuple[int, int], seed: int, tuning: PoolTuning, budget: Budget, journal: Journal) -> Pools:
    """Draws the pools. Every pool has a generator of its own, so that one's size does not change another.

    Args:
        journal: asked for their size, which hangs on the clock: what it answers later is about the same sequences.

    Raises:
        OutOfBudget: before all of them are labelled.
    """
    cut = task_bands(study.searched, lengths)
    scale = _scale(study, lengths, seed, tuning, budget, journal)

    def drawn(stream: Stream, count: int, low_high: tuple[int, int], band: int, how: _Draw) -> _Drawn:
        rng = np.random.default_rng([seed, stream, band + 1])
        sample = checked_sample(study.searched, rng, max(1, int(scale * count)), low_high)
        logits = _labels(study, sample, how.most, tuning, budget)
        return _Drawn(sample, logits, [replace(batch, band=band) for batch in _batches(study, sample, logits, how, tuning)])

    choosing, verifying = (partial(_Draw, rest_every=every) for every in (tuning.rest_every, tuning.verified_rest_every))
    short = drawn(Stream.FITTED_SHORT, tuning.fitted_short, cut[0], -1, _Draw(tuning.short_batch)).batches
    long = drawn(Stream.FITTED_LONG, tuning.fitted_long, lengths, -1, choosing(tuning.long_batch)).batches
    chosen = [drawn(Stream.SELECTED, tuning.selected, part, band, choosing(tuning.select_batch)) for band, part in enumerate(cut)]
    verify = [
        b
        for band, part in enumerate(cut)
        for b in drawn(Stream.VERIFIED, tuning.verified, part, band, verifying(tuning.verify_batch)).batches
    ]
    select = [b for one in chosen for b in one.batches]
    accuracy = tuple(_accuracy(study.searched, one) for one in chosen)
    return Pools(tuple(short), tuple(long), tuple(select[::-1]), tuple(verify[::-1]), len(cut), accuracy)


def _scale(study: Study, lengths: tuple[int, int], seed: int, tuning: PoolTuning, budget: Budget, journal: Journal) -> float:
    """The share of the sequences that the budget lets draw, 1 at the most: found out on a few."""
    sample = checked_sample(study.searched, np.random.default_rng([seed, Stream.POOL_TRIAL]), tuning.trial, lengths)
    bands = len(task_bands(study.searched, lengths))
    all_of_them = tuning.fitted_short + tuning.fitted_long + bands * (tuning.selected + tuning.verified)

    def ask() -> float:
        before = budget.spent()
        _labels(study, sample, tuning.long_batch, tuning, budget)
        cost = (budget.spent() - before) / tuning.trial * all_of_them
        return max(tuning.least, min(1.0, tuning.share * budget.left() / cost)) if cost else 1.0

    return journal.once("share of the sequences", digest(*sample, bands, tuning), ask, budget)


def draw_few(study: Study, lengths: tuple[int, int], seed: int, tuning: PoolTuning, budget: Budget) -> list[Batch]:
    """Some sequences with the model's logits, where there is no budget for the pools: as far as the budget goes, but some in any case."""
    rng = np.random.default_rng(seed)
    found: list[Batch] = []
    for _ in range(tuning.fallback):
        sample = checked_sample(study.searched, rng, 1, lengths)
        logits = _labels(study, sample, 1, tuning, Budget.of_seconds())  # an endless one: of a spent one there would be none
        found += _batches(study, sample, logits, _Draw(1), tuning)
        budget.charge(study.work)
        if not budget.left():
            break
    return found


def charged(batches: Iterable[Batch], work: float, budget: Budget) -> Iterator[Batch]:
    """The batches, one by one as long as the budget goes: each costs so much work. Raises OutOfBudget."""
    for batch in batches:
        budget.check()
        yield batch
        budget.charge(work)


def margins(logits: Tensor, model_logits: Tensor, task: Task) -> Tensor:
    """By how much the logits speak for each decision of the model, (scored positions, decisions); both are (scored positions, vocabulary).

    It decides for one token over any other, or on each token.
    """
    if task.predict == "next-token":
        predicted = model_logits.argmax(-1, keepdim=True)
        return logits.gather(1, predicted) - logits.scatter(1, predicted, -torch.inf).amax(-1, keepdim=True)
    return torch.where(model_logits > 0, logits, -logits)


@dataclass(frozen=True)
class _Draw:
    """How sequences are cut into batches.

    Attributes:
        most: sequences of a batch.
        rest_every: None keeps all. Else the low-margin stratum, on which the model decides most closely, is kept, and of the rest one in so
            many, which stand for it: a program that is nearly right is wrong at low margins, and so is measured as well in half the time.
    """

    most: int
    rest_every: int | None = None


@dataclass(frozen=True)
class _Drawn:
    """Sequences with the model's logits for each, (scored positions, vocabulary), and what is kept of them."""

    sample: Sample
    logits: Sequence[Tensor]
    batches: list[Batch]


def _accuracy(task: Task, drawn: _Drawn) -> float:
    """The share of sequences on which all that the model predicts is right, as far as it is known what is."""
    truth = checked_answers(task, drawn.sample)[drawn.sample.scored]
    found = predictions(torch.cat(list(drawn.logits)).cpu().numpy(), task.predict)
    wrong = known(truth) & ~alike(found, truth)
    rows = np.nonzero(drawn.sample.scored)[0]
    return 1 - len(np.unique(rows[wrong])) / len(drawn.sample.scored)


def _batches(study: Study, sample: Sample, logits: Sequence[Tensor], how: _Draw, tuning: PoolTuning) -> list[Batch]:
    """The sequences with the model's answers, of no band."""
    count = len(sample.scored)
    if how.rest_every is None:
        strata = [(np.arange(count), 1)]
    else:
        least = torch.stack([margins(found, found, study.task).min() for found in logits])
        order = np.argsort(least.cpu().numpy(), kind="stable")
        low = count // tuning.low_margin_share
        strata = [(order[:low], 1), (order[low :: how.rest_every], how.rest_every)]
    found = []
    for chosen, weight in strata:
        for rows in _by_length(sample.reach(study.bidirectional), chosen, how.most, tuning.cells):
            token_ids, position_ids, scored = _rows(study, sample, rows)
            model_logits = torch.cat([logits[row] for row in rows])
            found.append(Batch(token_ids, position_ids, scored, scored.nonzero()[:, 0], model_logits, -1, weight))
    return found


def _labels(study: Study, sample: Sample, most: int, tuning: PoolTuning, budget: Budget) -> list[Tensor]:
    """The model's logits for each sequence, (scored positions, vocabulary)."""

    def label(rows: np.ndarray) -> tuple[Tensor, ...]:
        token_ids, position_ids, scored = _rows(study, sample, rows)
        with torch.no_grad():
            logits = study.oracle.scored_logits(token_ids, position_ids, scored).float()
        return logits.split(scored.sum(1).tolist())

    parts = _by_length(sample.reach(study.bidirectional), np.arange(len(sample.scored)), most, tuning.cells)
    labelled: dict[int, Tensor] = {}
    for rows, found in zip(parts, in_order(label, parts, budget), strict=True):
        budget.check()
        budget.charge(study.work)
        labelled.update(zip(rows.tolist(), found, strict=True))
    return [labelled[row] for row in range(len(labelled))]


def _rows(study: Study, sample: Sample, rows: np.ndarray) -> list[Tensor]:
    """These rows as tensors, as far as any scored prediction can depend on them."""
    chosen = Sample(*(array[rows] for array in sample))
    end = chosen.reach(study.bidirectional).max()
    return [torch.from_numpy(array[:, :end].copy()).to(study.device) for array in chosen]


def _by_length(reach: np.ndarray, chosen: np.ndarray, most: int, cells: int) -> list[np.ndarray]:
    """The rows of the batches into which sequences are cut, by how far each is read: at most so many, and no more than memory bears."""
    ends = reach[chosen]
    order = np.argsort(ends, kind="stable")
    parts = []
    start = 0
    while start < len(order):
        size = most
        while size > 1 and size * ends[order[min(start + size, len(order)) - 1]] ** 2 > cells:
            size = size * 3 // 4
        parts.append(chosen[order[start : start + size]])
        start += size
    return parts
