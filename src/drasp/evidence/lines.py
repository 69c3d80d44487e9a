"""Leave-one-out ablation: what is still predicted without each line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.intervals import DIGITS
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, Row
from drasp.ir.nodes import ONE_READ, Prediction, Project, Select
from drasp.ir.program import Program, feeds_attention
from drasp.learn.evaluation import EvaluationSet, alike, predictor, spend, work
from drasp.run.numpy_fast import evaluate


@dataclass(frozen=True)
class LeaveOneOut:
    """What a program does with one statement ablated: its value replaced by its mean, a selector or a constant left out, nothing refitted.

    Attributes:
        match: in the worst length band. Of long sequences hardly any keeps all its predictions without a line, whatever the line is worth.
        stays: share of the scored positions at which the program predicts what it does with the line; None in older files.
    """

    statement: str
    match: float
    stays: float | None = None


@dataclass(frozen=True)
class LinesTuning(KindTuning):
    """The sequences are chunks of those of match."""

    seconds: float = knob(30.0, unit="seconds at the most", origin="chosen")
    every: int = knob(8, unit="chunks of which one is taken, at the least", origin="chosen: costs need no narrow interval")


def leave_one_out(program: Program, evaluation: EvaluationSet, budget: Budget) -> tuple[LeaveOneOut, ...]:
    """Each statement but the prediction ablated alone, in order.

    Raises:
        OutOfBudget: the budget is spent.
    """
    means, own = _means(program, evaluation, budget), predictor(program, evaluation, budget)
    costs = []
    for statement in program.statements:
        if isinstance(statement, Prediction):
            continue
        predicted = predictor(program, evaluation, budget, {statement.name: means[statement.name]})
        worst = min(share.accuracy for share in evaluation.match(predicted).bands)
        same = np.concatenate([alike(predicted(chunk), own(chunk)) for chunk in evaluation.chunks])
        costs.append(LeaveOneOut(statement.name, worst, round(float(same.mean()), DIGITS)))
    return tuple(costs)


def _means(program: Program, evaluation: EvaluationSet, budget: Budget) -> dict[str, np.ndarray]:
    """The mean of each projection over the scored positions, of each variable over all but padding; 0 of a constant one; for a selector an
    empty array.
    """
    totals: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    feeding = feeds_attention(program)
    for chunk in evaluation.chunks:
        trace = evaluate(program, chunk.sample.token_ids, chunk.sample.position_ids)
        spend(budget, len(program.statements) * work(chunk.sample))
        scored = chunk.sample.scored
        real = chunk.sample.real(program.header.bidirectional)
        for statement in program.statements:
            if isinstance(statement, Prediction | Select):
                continue
            where = scored if isinstance(statement, Project) or statement.name not in feeding else real
            value = (trace.projections if isinstance(statement, Project) else trace.values)[statement.name][where]
            totals[statement.name] = totals.get(statement.name, 0) + value.sum(0)
            counts[statement.name] = counts.get(statement.name, 0) + len(value)
    means = {name: total / counts[name] for name, total in totals.items()}
    constant = {s.name for s in program.statements if isinstance(s, Project) and s.input == ONE_READ}
    means |= {name: np.zeros_like(means[name]) for name in constant}  # whose mean is no ablation
    return means | {s.name: np.zeros(0) for s in program.statements if isinstance(s, Select)}


def _measure(bench: Bench, tuning: LinesTuning) -> Mapping[str, Any]:
    fresh = bench.measured.fresh
    every = max(tuning.every, ceil(fresh.sequences / bench.sequences))
    return {"lines": leave_one_out(bench.program, fresh.thinned(every), bench.budget)}


def _rows(found: Sequence[LeaveOneOut] | None) -> Sequence[Row]:
    return [Row("lines", each.statement, *_said(each), beside=True) for each in found or ()]


def _said(each: LeaveOneOut) -> tuple[str, tuple[str, ...], str]:
    """The text, the line, and what stands beside it; of an older file match is all that there is."""
    if each.stays is None:
        return f"match without it {each.match:.3f}", (each.statement,), f"without it: match {each.match:.3f}"
    text = f"without it {_share(each.stays, 3)} of predictions stay, and match is {each.match:.3f}"
    return text, (each.statement,), f"without it {_share(each.stays, 2)} of predictions stay"


def _share(share: float, digits: int) -> str:
    """Rounded; what is not all is not said to be all."""
    rounded = f"{share:.{digits}f}"
    return f"over {1 - 10.0**-digits:.{digits}f}" if float(rounded) == 1 > share else rounded


LINES = Kind(
    name="lines",
    question="How many predictions stay, and what does match become, without each line?",
    how="On some of the sequences of match: the scored positions at which the program predicts the same without the line, and match in the "
    "worst band; for a line stands its mean, for a constant nothing; nothing is refitted.",
    runs=lambda program: float(len(program.statements) + 1),
    measure=_measure,
    rows=_rows,
    tuning=LinesTuning(),
)
