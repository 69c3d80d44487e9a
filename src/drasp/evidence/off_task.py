"""The program against the model off the task: on uniform random strings, and on sequences with one token edited.

The oracle is the model, as everywhere. Nobody says what is right there; a program that computes what the model computes agrees with it all
the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.intervals import Banded, Share, rounded
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.evidence.kind import Baseline, Bench, Kind, KindTuning, Row
from drasp.ir.program import Program
from drasp.learn.evaluation import Change, EvaluationSet, Examinee, Predictor, alike, draw, predictor, trivial
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class PositionShare:
    """A share of scored positions. Those of a sequence are not independent: the interval is that of as many trials as there are sequences,
    so too wide.
    """

    accuracy: float
    low: float
    high: float
    positions: int


@dataclass(frozen=True)
class Trivially:
    """What is trivial on the same inputs."""

    positions: PositionShare
    sequences: Share


@dataclass(frozen=True)
class Agreement:
    """On one kind of input the shares of scored positions and of whole sequences on which the program predicts what the model predicts."""

    positions: PositionShare
    sequences: Banded
    baseline: Baseline[Trivially]


@dataclass(frozen=True)
class OffTask:
    """Kind by kind; None for a kind that the task does not have: with a single symbol there is nothing to edit."""

    random_strings: Agreement | None
    one_token_edits: Agreement | None


@dataclass(frozen=True)
class OffTaskTuning(KindTuning):
    """Two kinds of input, and sequences of each that the baselines are fitted on."""

    most: int = knob(2_000, unit="sequences of each kind of input", origin="chosen: .95 is told from .97")
    fitting_share: float = knob(0.25, unit="share of the sequences", origin="chosen: as many more of the same kind for the baselines")


def off_task(program: Program, examinee: Examinee, counts: tuple[int, int], rng: np.random.Generator, budget: Budget) -> OffTask:
    """Draws sequences of each kind of input and compares. Raises OutOfBudget where the budget is spent.

    Args:
        counts: how many program and model are compared on, and on how many others the baselines are fitted.
    """
    symbols = program.header.symbols

    def measured(change: Change) -> Agreement | None:
        fresh, fitting = (draw(examinee, count, rng, budget, change) for count in counts)
        return _agreement(program, fresh, fitting, budget) if fresh.chunks and fitting.chunks else None

    return OffTask(
        measured(lambda sample: random_symbols(sample, symbols, rng)),
        measured(lambda sample: edited(sample, symbols, rng, examinee.bidirectional)),
    )


def random_symbols(sample: Sample, symbols: np.ndarray, rng: np.random.Generator) -> Sample:
    """Every symbol drawn anew, uniform and independent; special tokens, positions and what is scored stay.

    Args:
        symbols: their ids, in order.
    """
    drawn = symbols[rng.integers(0, len(symbols), sample.token_ids.shape)]
    return Sample(np.where(np.isin(sample.token_ids, symbols), drawn, sample.token_ids), sample.position_ids, sample.scored)


def edited(sample: Sample, symbols: np.ndarray, rng: np.random.Generator, bidirectional: bool = False) -> Sample:
    """One symbol of each sequence replaced by another one, which the model sees at some scored position; only such positions are scored.

    Sequences without such a symbol are left out.

    Args:
        symbols: their ids, in order.
    """
    last = sample.reach(bidirectional) - 1
    place = np.arange(sample.token_ids.shape[1])
    can = np.isin(sample.token_ids, symbols) & (place <= last[:, None])
    kept = can.any(1) & (len(symbols) > 1)
    token_ids, position_ids, scored, can = (array[kept] for array in (*sample, can))
    chosen = np.where(can, rng.random(can.shape), -1.0).argmax(1)
    rows = np.arange(len(token_ids))
    token_ids = token_ids.copy()
    before = np.searchsorted(symbols, token_ids[rows, chosen])
    token_ids[rows, chosen] = symbols[(before + rng.integers(1, max(len(symbols), 2), len(rows))) % len(symbols)]
    return Sample(token_ids, position_ids, scored & (bidirectional | (place >= chosen[:, None])))


def _agreement(program: Program, fresh: EvaluationSet, fitting: EvaluationSet, budget: Budget) -> Agreement:
    predicted = predictor(program, fresh, budget)
    guesses = {name: Trivially(_positions(fresh, guess), fresh.match(guess).all) for name, guess in trivial(fitting).items()}
    return Agreement(_positions(fresh, predicted), fresh.match(predicted), Baseline(**guesses))


def _positions(fresh: EvaluationSet, predicted: Predictor) -> PositionShare:
    same = np.concatenate([alike(predicted(chunk), chunk.model) for chunk in fresh.chunks])
    return PositionShare(*rounded(float(same.mean()), fresh.sequences), len(same))


def _measure(bench: Bench, tuning: OffTaskTuning) -> Mapping[str, Any]:
    counts = bench.sequences, max(1, int(tuning.fitting_share * bench.sequences))
    return {"off_task": off_task(bench.program, bench.question.examinee, counts, bench.rng(Stream.OFF_TASK), bench.budget)}


def _rows(found: OffTask | None) -> Sequence[Row]:
    each = {} if found is None else {field.name.replace("_", " "): getattr(found, field.name) for field in fields(found)}
    return [Row("off task", name, _said(agreement)) for name, agreement in each.items() if agreement is not None]


def _said(found: Agreement) -> str:
    trivially = max(guess.positions.accuracy for guess in (found.baseline.constant, found.baseline.current_token))
    at = found.positions
    return (
        f"alike at {at.accuracy:.3f} [{at.low:.3f}, {at.high:.3f}] of positions (trivially {trivially:.3f}), "
        f"on {found.sequences.all.accuracy:.3f} of sequences"
    )


OFF_TASK = Kind(
    name="off_task",
    question="Beyond what the model was trained on: does the program still say what the model says?",
    how="On uniform random strings, and on sequences of the task with one symbol edited, at the positions that the task scores.",
    runs=lambda program: 2.5,
    measure=_measure,
    rows=_rows,
    tuning=OffTaskTuning(),
    slow=True,
)
