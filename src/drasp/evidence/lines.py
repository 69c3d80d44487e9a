"""Leave-one-out ablation: what match becomes without each line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.tuning import knob
from drasp.evidence.kind import Bench, Kind, KindTuning, Row
from drasp.ir.nodes import ONE_READ, Prediction, Project, Select
from drasp.ir.program import Program, feeds_attention
from drasp.learn.evaluation import EvaluationSet, predictor, spend, work
from drasp.run.numpy_fast import evaluate


@dataclass(frozen=True)
class LeaveOneOut:
    """The match, in the worst length band, with one statement ablated: its value replaced by its mean, a selector or a constant left out,
    nothing refitted.
    """

    statement: str
    match: float


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
    means = _means(program, evaluation, budget)
    costs = []
    for statement in program.statements:
        if isinstance(statement, Prediction):
            continue
        predicted = predictor(program, evaluation, budget, {statement.name: means[statement.name]})
        worst = min(share.accuracy for share in evaluation.match(predicted).bands)
        costs.append(LeaveOneOut(statement.name, worst))
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
    costs = [(cost.statement, f"{cost.match:.3f}") for cost in found or ()]
    return [Row("lines", name, f"match without it {match}", (name,), f"without it: match {match}", beside=True) for name, match in costs]


LINES = Kind(
    name="lines",
    question="What does match become without each line?",
    how="On some of the sequences of match, in the worst band; a line by its mean, a constant by nothing; nothing is refitted.",
    runs=lambda program: float(len(program.statements)),
    measure=_measure,
    rows=_rows,
    tuning=LinesTuning(),
)
