"""Pools of sequences with the model's answers: what the learning passes fit and match programs on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from drasp.run.parallel import in_order
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_sample

CLOSE_SHARE, REST_EVERY = 4, 3  # kept of those to choose by and of the long ones: a quarter, the closest, and every third of the rest
CELLS_PER_BATCH = 1 << 20  # query-key pairs in one batch: some 30 MB a selector while gradients are kept


@dataclass(frozen=True)
class Subject:
    """The model whose predictions count, and its task.

    Attributes:
        oracle: logits (scored positions, vocabulary) for token and position ids and which positions are scored, all (batch, time).
        device: where it all runs.
    """

    task: Task
    oracle: Callable[[Tensor, Tensor, Tensor], Tensor]
    device: torch.device


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


@dataclass
class Pool:
    """Sequences of every band on which programs are matched.

    Attributes:
        batches: each within one band.
        misses: of each batch, the sequences missed by the last of the programs that missed few enough to be counted to the end. Batches
            with many come first: what falls short does so soon.
    """

    name: Literal["select", "verify"]
    batches: list[Batch]
    misses: list[int]

    @classmethod
    def of(cls, name: Literal["select", "verify"], batches: list[Batch]) -> "Pool":
        return cls(name, batches, [0] * len(batches))


def margins(logits: Tensor, model_logits: Tensor, task: Task) -> Tensor:
    """By how much the logits speak for each decision of the model, (scored positions, decisions); both are (scored positions, vocabulary).

    It decides for one token over any other, or on each token.
    """
    if task.predict == "next-token":
        predicted = model_logits.argmax(-1, keepdim=True)
        return logits.gather(1, predicted) - logits.scatter(1, predicted, -torch.inf).amax(-1, keepdim=True)
    return torch.where(model_logits > 0, logits, -logits)


def make_batches(subject: Subject, rng: np.random.Generator, count: int, lengths: tuple[int, int], band: int, most: int) -> list[Batch]:
    """`count` fresh sequences, sorted by length and cut into batches of at most `most`, with the model's logits."""
    sample = checked_sample(subject.task, rng, count, lengths)
    return _cut(sample, _labels(sample, subject, most), np.arange(count), band, 1, subject.device, most)


def closest_batches(
    subject: Subject,
    rng: np.random.Generator,
    count: int,
    lengths: tuple[int, int],
    band: int,
    most: int,
    rest_every: int = REST_EVERY,
) -> list[Batch]:
    """As `make_batches`, but only those sequences on which the model decides most closely, and of the rest a part that stands for it.

    A program that is nearly right is wrong on the close ones: so it is measured as well as on all of them, in half the time.
    """
    sample = checked_sample(subject.task, rng, count, lengths)
    logits = _labels(sample, subject, most)
    closest = torch.stack([margins(found, found, subject.task).min() for found in logits])
    order = np.argsort(closest.cpu().numpy(), kind="stable")
    close = count // CLOSE_SHARE
    strata = ((order[:close], 1), (order[close::rest_every], rest_every))
    return [batch for chosen, weight in strata for batch in _cut(sample, logits, chosen, band, weight, subject.device, most)]


def _labels(sample: Sample, subject: Subject, most: int) -> list[Tensor]:
    """The model's logits for each sequence, (scored positions, vocabulary)."""

    def label(rows: np.ndarray) -> tuple[Tensor, ...]:
        token_ids, position_ids, scored = _rows(sample, rows, subject.device)
        with torch.no_grad():
            logits = subject.oracle(token_ids, position_ids, scored).float()
        return logits.split(scored.sum(1).tolist())

    parts = _by_length(sample, np.arange(len(sample.scored)), most)
    labelled = {row: own for rows, found in zip(parts, in_order(label, parts), strict=True) for row, own in zip(rows, found, strict=True)}
    return [labelled[row] for row in range(len(labelled))]


def _cut(
    sample: Sample, logits: Sequence[Tensor], chosen: np.ndarray, band: int, weight: int, device: torch.device, most: int
) -> list[Batch]:
    """The chosen sequences in batches of similar length."""
    batches = []
    for rows in _by_length(sample, chosen, most):
        token_ids, position_ids, scored = _rows(sample, rows, device)
        model_logits = torch.cat([logits[row] for row in rows])
        batches.append(Batch(token_ids, position_ids, scored, scored.nonzero()[:, 0], model_logits, band, weight))
    return batches


def _rows(sample: Sample, rows: np.ndarray, device: torch.device) -> list[Tensor]:
    """These rows as tensors, as far as any of them is scored."""
    chosen = Sample(*(array[rows] for array in sample))
    return [torch.from_numpy(array[:, : chosen.ends.max()].copy()).to(device) for array in chosen]


def _by_length(sample: Sample, chosen: np.ndarray, most: int) -> list[np.ndarray]:
    """The rows of the batches into which sequences are cut: at most so many, and no more than memory bears."""
    ends = sample.ends[chosen]
    order = np.argsort(ends, kind="stable")
    parts = []
    start = 0
    while start < len(order):
        size = most
        while size > 1 and size * ends[order[min(start + size, len(order)) - 1]] ** 2 > CELLS_PER_BATCH:
            size = size * 3 // 4
        parts.append(chosen[order[start : start + size]])
        start += size
    return parts
