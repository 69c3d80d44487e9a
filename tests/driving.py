"""Stands in for the runner: answers what passes yield, and remembers it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import pytest

from drasp.core import parallel
from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.circuit import Circuit
from drasp.learn.match import Matcher
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.run.gated import Executor


class Driven(NamedTuple):
    """What a pass returned, what it wanted measured, and what it had found by the way."""

    result: object
    trials: list[Trial]
    found: list[object]


def drive(
    steps: Steps[object], match: Callable[[Trial], float], trials: list[Trial] | None = None, found: list[object] | None = None
) -> Driven:
    """Answers a pass until it returns.

    Args:
        trials, found: where these are added, for a pass that does not return.
    """
    trials, found = [] if trials is None else trials, [] if found is None else found
    step, result = _after(steps, None)
    while step is not None:
        answer = 0.0
        if isinstance(step, Found):
            found.append(step.what)
        elif isinstance(step, Trial):
            trials.append(step)
            answer = match(step)
        step, result = _after(steps, answer)
    return Driven(result, trials, found)


def _after(steps, answer):
    """The next step; None and the result where there is none."""
    try:
        return steps.send(answer), None
    except StopIteration as end:
        return None, end.value


def measuring(oracle: Oracle, budget: Budget) -> Callable[[Trial], float]:
    """Measures programs and circuits on the pools."""
    matcher = Matcher(oracle)

    def run(program: Program):
        executor = Executor(program, oracle.device)
        return lambda batch: executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored)

    def match(trial: Trial) -> float:
        budget.check()
        candidate = trial.candidate
        if isinstance(candidate, Circuit):
            return matcher.match(trial, lambda: candidate.scored_logits, candidate.edges, budget)
        return matcher.match(trial, lambda: run(candidate), len(candidate.statements), budget)

    return match


def use_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Works on so many pieces at once, whatever the machine has."""
    monkeypatch.setattr(parallel, "threads", lambda: count)
    monkeypatch.setattr(parallel, "_pool", cache(lambda: ThreadPoolExecutor(count)))
