"""What is measured of a model itself, and how well a program of short sequences says what it does on longer ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from drasp.core.intervals import BAND_EDGES
from drasp.core.seeds import Stream
from drasp.errors import TaskError
from drasp.ir.program import Program
from drasp.learn.evaluation import EvaluationSet, Examinee, draw, numpy_logits, predictor
from drasp.learn.pools import Study, margins
from drasp.tasks.user import checked_sample

SHORT, LONGER = BAND_EDGES[0], (BAND_EDGES[1][0], BAND_EDGES[-1][1])
SEQUENCES = 1_000


def weight_norm(folder: Path) -> float:
    """The root of the sum of the squares of all the weights in a model folder."""
    tensors = [tensor for file in folder.glob("*.safetensors") for tensor in load_file(file).values()]
    return float(np.sqrt(sum(np.square(tensor, dtype=np.float64).sum() for tensor in tensors)))


def margin(study: Study, seed: int) -> float | None:
    """By how much the model decides at the scored position of a short sequence where it does so most closely, in logits; the mean.

    None where the task has no short sequences.
    """
    try:
        sample = checked_sample(study.task, np.random.default_rng([seed, Stream.STUDY]), SEQUENCES, SHORT)
    except TaskError:
        return None
    arrays = [torch.from_numpy(array) for array in sample]
    logits = study.oracle.scored_logits(*arrays)
    each = margins(logits, logits, study.task).min(-1).values.numpy()
    least = np.full(len(sample.scored), np.inf)
    np.minimum.at(least, np.nonzero(sample.scored)[0], each)
    return float(least.mean())


@dataclass(frozen=True)
class Foresight:
    """How well a program says how often, and where, a model is right on longer sequences. The fields are those of a row."""

    predicted_51_100: float | None
    predicted_101_150: float | None
    fails: int
    fails_predicted: int
    fails_longer: int
    rights: int
    rights_predicted: int
    rights_longer: int


def foresight(program: Program, study: Study, seed: int) -> Foresight | None:
    """A program, which was found with short sequences alone, and its model, on fresh longer ones.

    None where the task has none, or nobody knows what is right.
    """
    rng = np.random.default_rng([seed, Stream.STUDY, 1])
    try:
        fresh = draw(Examinee(study.task, numpy_logits(study.oracle), LONGER), SEQUENCES, rng)
    except TaskError:
        return None
    if not fresh.answered:
        return None
    predicted = predictor(program, fresh)
    right = {id(chunk): chunk.right(predicted(chunk), chunk.truth) for chunk in fresh.chunks}
    shares = {share.lengths[1]: share.accuracy for share in fresh.share(lambda chunk: right[id(chunk)]).bands}
    by_band = [shares.get(high) for _, high in BAND_EDGES[1:]]
    return Foresight(by_band[0], by_band[1], *_counts(fresh, right))


def _counts(fresh: EvaluationSet, right: dict[int, np.ndarray]) -> tuple[int, ...]:
    """Of what the model gets wrong, and then of what it gets right: how many there are, and on how many the program and the trivial guess
    say so.
    """
    model = np.concatenate([chunk.right(chunk.model, chunk.truth) for chunk in fresh.chunks])
    program = np.concatenate([right[id(chunk)] for chunk in fresh.chunks])
    lengths = np.concatenate([chunk.sample.lengths for chunk in fresh.chunks])
    short = lengths <= np.median(lengths)
    both = [(~model, ~program, ~short), (model, program, short)]
    return tuple(int(n) for among, said, guessed in both for n in (among.sum(), (among & said).sum(), (among & guessed).sum()))
