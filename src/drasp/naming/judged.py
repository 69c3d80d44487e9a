"""What readouts are named on: sequences of the task and off it, with what the program to be named predicts on them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drasp.ir.program import Predict, Program
from drasp.learn.evaluation import predictions
from drasp.run.numpy_fast import Trace, evaluate
from drasp.run.swaps import SwapKind, swapped_value
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class Swap:
    """An interchange intervention (Geiger et al., "Causal Abstractions of Neural Networks", 2021).

    Attributes:
        other: as many sequences with the same scored positions, from which some averages take their values.
        averages: their names; a program need not have all of them.
        kind: whether they take their values there, or look there.
    """

    other: Sample
    averages: tuple[str, ...]
    kind: SwapKind


@dataclass(frozen=True)
class Judged:
    """Sequences, and what the program to be named predicts at their scored positions: booleans (scored positions, vocabulary).

    Attributes:
        swap: what is swapped in them, if anything.
    """

    sample: Sample
    predicted: np.ndarray
    swap: Swap | None = None


@dataclass(frozen=True)
class Judging:
    """The sequences of the task on which a readout is to be right, and others on which it is to agree.

    Attributes:
        spend: told of the work that was done on them; may raise to stop.
    """

    real: Sequence[Judged]
    off: Sequence[Judged]
    spend: Callable[[float], None] = lambda work: None

    def each(self, parts: Sequence[Judged], program: Program) -> Iterator[Judged]:
        """Some of them, on each of which the program is run."""
        for part in parts:
            yield part
            self.spend(len(program.statements))


def judged(program: Program, sample: Sample, model: np.ndarray | None = None) -> Judged:
    """Sequences with what a program predicts; where `model` says what its model predicts at the scored positions, in the same form as
    `Judged.predicted`, the positions at which they differ are scored no more.
    """
    own = predicted(program, sample)
    if model is None:
        return Judged(sample, own)
    same = (own == model).all(1)
    scored = sample.scored.copy()
    scored[sample.scored] = same
    return Judged(sample._replace(scored=scored), own[same])


def agreement(program: Program, judging: Judging) -> float:
    """The share of scored positions off the task at which a program predicts as judged, of the outputs that vary on it."""
    varying = np.concatenate([part.predicted for part in judging.real])
    varies = varying.any(0) & ~varying.all(0)
    same = [(predicted(program, part.sample, part.swap) == part.predicted)[:, varies].all(1) for part in judging.each(judging.off, program)]
    return float(np.concatenate(same).mean())


def predicted(program: Program, sample: Sample, swap: Swap | None = None) -> np.ndarray:
    """(scored positions, vocabulary): whether each token is predicted."""
    return as_sets(run(program, sample, swap).logits[sample.scored], program.header.predict)


def run(program: Program, sample: Sample, swap: Swap | None = None) -> Trace:
    """All that a program computes; what is swapped keeps the attention that it had."""
    if swap is None:
        return evaluate(program, sample.token_ids, sample.position_ids)
    base, other = (evaluate(program, taken.token_ids, taken.position_ids) for taken in (sample, swap.other))
    values = {name: swapped_value(program, name, base, other, swap.kind) for name in swap.averages if name in program.by_name}
    found = evaluate(program, sample.token_ids, sample.position_ids, constants=values)
    return replace(found, attention={**other.attention, **found.attention})


def as_sets(logits: np.ndarray, predict: Predict) -> np.ndarray:
    """What logits (n, outputs) predict, as booleans (n, outputs)."""
    found = predictions(logits, predict)
    return found if found.ndim == 2 else found[:, None] == np.arange(logits.shape[1])
