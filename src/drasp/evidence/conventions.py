"""Whether a task asks the model as the model was trained: it may be right only from position 0, without `<bos>`, or one position off."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.errors import TaskError
from drasp.learn.evaluation import alike, known, predictions, task_bands
from drasp.tasks.protocol import Sample
from drasp.tasks.user import checked_answers, checked_sample

if TYPE_CHECKING:
    from drasp.learn.pools import Study


@dataclass(frozen=True)
class ConventionTuning:
    """When a person is told that a task may not be as the model was trained on it."""

    sequences: int = knob(100, unit="sequences", origin="chosen: a share is known to .1")
    far: float = knob(0.2, unit="share of the sequences that the model gets right only otherwise", origin="chosen")
    hardly: float = knob(0.05, unit="share of the sequences that the model gets right, at which it is told", origin="chosen")


@dataclass(frozen=True)
class Conventions:
    """How often the model is right as the task asks it, and otherwise, where that is far more often.

    Attributes:
        right: share of the task's sequences.
        otherwise: how it is more often right, like "from position 0"; None where it is hardly ever right.
        right_otherwise: share of the same sequences, asked so.
    """

    right: float
    otherwise: str | None = None
    right_otherwise: float | None = None

    @property
    def line(self) -> str:
        """What a person is told."""
        said = f"the model is right on {self.right:.3f} of the task's sequences"
        if self.otherwise is None:
            return f"{said}: are its vocabulary, its positions and what counts as the model was trained?"
        return f"{said}, but on {self.right_otherwise:.3f} {self.otherwise}: is the task as the model was trained?"


@dataclass(frozen=True)
class _Asked:
    """Sequences, what is right where they are scored, and by how many positions the model answers later."""

    how: str
    sample: Sample
    truth: np.ndarray
    later: int = 0


def conventions(study: "Study", lengths: tuple[int, int], seed: int, tuning: ConventionTuning) -> Conventions | None:
    """What there is to be told of the shortest sequences; None where the model is right as often as otherwise, or nobody knows what is."""
    rng = np.random.default_rng([seed, Stream.CONVENTIONS])
    sample = checked_sample(study.searched, rng, tuning.sequences, task_bands(study.searched, lengths)[0])
    try:
        given = _Asked("as the task asks", sample, checked_answers(study.searched, sample))
    except TaskError:  # some of its answers are wrong, which is told where they are needed
        return None
    if not known(given.truth[sample.scored]).any():
        return None
    right = _right(study, given)
    if right > 1 - tuning.far:
        return None
    others = [(_right(study, asked), asked.how) for asked in _otherwise(study, given, rng)]
    best, how = max(others, default=(0.0, ""), key=lambda each: each[0])
    if best - right > tuning.far:
        return Conventions(round(right, 4), how, round(best, 4))
    return Conventions(round(right, 4)) if right <= tuning.hardly else None


def _otherwise(study: "Study", given: _Asked, rng: np.random.Generator) -> Iterator[_Asked]:
    """The same sequences asked in other ways."""
    token_ids, position_ids, scored = given.sample
    vocabulary, positions = study.task.vocabulary, study.transformer.positions
    first = position_ids[:, :1]
    moved = position_ids - first
    room = positions - 1 - int(moved.max())
    if first.any():
        yield _Asked("with positions from 0", Sample(token_ids, moved, scored), given.truth)
    if (first != 1).any() and room >= 1:
        yield _Asked("with positions from 1", Sample(token_ids, moved + 1, scored), given.truth)
    if (first == first[0]).all() and room >= 1:
        offsets = rng.integers(0, room, first.shape, endpoint=True)
        yield _Asked("with positions from random offsets on", Sample(token_ids, moved + offsets, scored), given.truth)
    if token_ids.shape[1] > 1 and (token_ids[:, 0] == token_ids[0, 0]).all() and scored[:, 1:].any(1).all():
        without = Sample(token_ids[:, 1:], position_ids[:, :-1], scored[:, 1:])
        yield _Asked(f"without {vocabulary[token_ids[0, 0]]} in front", without, given.truth[:, 1:])
    if "<bos>" in vocabulary and (token_ids[:, 0] != vocabulary.index("<bos>")).any() and room >= 1:
        front = np.full((len(token_ids), 1), vocabulary.index("<bos>"))
        longer = np.concatenate([first, first + 1 + moved], 1)
        marked = np.concatenate([np.zeros_like(front, dtype=bool), scored], 1)
        yield _Asked("with <bos> in front", Sample(np.concatenate([front, token_ids], 1), longer, marked), np.insert(given.truth, 0, 0, 1))
    for later, how in ((-1, "one position earlier"), (1, "one position later")):
        if not scored[:, 0 if later < 0 else -1].any():
            yield _Asked(f"read off {how}", given.sample, given.truth, later)


def _right(study: "Study", asked: _Asked) -> float:
    """The share of the sequences on which the model is right."""
    import torch

    sample = asked.sample
    scored = np.roll(sample.scored, asked.later, axis=1)
    arrays = (torch.as_tensor(array, device=study.device) for array in (sample.token_ids, sample.position_ids, scored))
    logits = study.oracle.scored_logits(*arrays).cpu().numpy()
    truth = asked.truth[sample.scored]
    wrong = ~alike(predictions(logits, study.task.predict), truth) & known(truth)
    return float((np.bincount(np.nonzero(sample.scored)[0][wrong], minlength=len(scored)) == 0).mean())
