"""What can be removed from a program in one step, and in which order."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import numpy as np
import torch

from drasp.core.budget import Budget
from drasp.core.journal import digest
from drasp.core.parallel import in_order
from drasp.ir.nodes import Aggregate, Mlp, Norm, Prediction
from drasp.ir.program import Program
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.tuning import PruneTuning
from drasp.passes.aim import Aim
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import AblationPoint, Executor, ablation_points

Removal = frozenset[tuple[str, str, str]]
"""Ablation points by statement, part and what they read: names that hold while the program shrinks."""


def complexity(program: Program, tuning: PruneTuning) -> float:
    """Statements, with a little for every input and divisor, so that ties go to the simpler program."""
    inputs = sum(len(s.inputs) for s in program.statements if isinstance(s, Norm | Mlp))
    divisions = sum(read.over is not None for s in program.statements for read in s.reads)
    return len(program.statements) + tuning.input_cost * inputs + tuning.division_cost * divisions


class Left:
    """What a pass has left of a program, and the means that replace its parts: worked out once, and not within what a journal answers, as
    they are needed beside it.
    """

    def __init__(self, program: Program, oracle: Oracle, aim: Aim, budget: Budget) -> None:
        self.program, self.oracle, self.aim, self.budget = program, oracle, aim, budget
        self.means: Mapping[AblationPoint, np.ndarray] = mean_values(program, oracle, budget)

    def now(self, smaller: Program) -> "Left":
        """The same, of what is left of it by now."""
        return Left(smaller, self.oracle, self.aim, self.budget)

    def without(self, removals: Iterable[Removal]) -> Program:
        """The program with all ablation points of some removals at 0."""
        return without(self.program, frozenset(part for removal in removals for part in removal), self.means)

    def simpler(self, smaller: Program) -> bool:
        return complexity(smaller, self.aim.prune) < complexity(self.program, self.aim.prune)


def by_loss(left: Left) -> list[Removal]:
    """The removals that make the program simpler, by the loss after each for what it saves."""
    program, oracle, aim, budget = left.program, left.oracle, left.aim, left.budget
    every = removals(program)
    batches = oracle.sample[:: aim.prune.loss_every]  # to put removals in order, fewer will do

    @torch.no_grad()
    def loss(smaller: Program) -> float:
        executor = Executor(smaller, oracle.device)
        losses = [oracle.loss(executor.scored_logits(b.token_ids, b.position_ids, b.scored), b, aim.refit.targets).mean() for b in batches]
        return float(torch.stack(losses).mean())

    def cost(removal: Removal) -> float:
        smaller = left.without([removal])
        saved = complexity(program, aim.prune) - complexity(smaller, aim.prune)
        return loss(smaller) / saved if saved > 0 else inf

    def ask() -> list[int]:
        costs = []
        for found in in_order(cost, every, budget):
            budget.check()
            budget.charge(len(program.statements) * len(batches))
            costs.append(found)
        return sorted((i for i in range(len(every)) if costs[i] < inf), key=costs.__getitem__)

    about = digest(program.digest, aim.refit.targets)
    return [every[i] for i in oracle.journal.once("order of removals", about, ask, budget)]


def without(program: Program, removal: Removal, means: Mapping[AblationPoint, np.ndarray]) -> Program:
    """The program with all ablation points of a removal at 0."""
    multipliers = {point: 0.0 for point in ablation_points(program) if identity(program, point) in removal}
    return ablate(program, Ablation(multipliers, means))


def identity(program: Program, point: AblationPoint) -> tuple[str, str, str]:
    """What tells a point from all others, whichever slot it has by now: its statement, part, and what it reads."""
    if point.part == "line":
        return point.statement, point.part, ""
    statement = program.by_name[point.statement]
    slot = statement.reads[point.slot].variable if isinstance(statement, Norm | Mlp) else str(point.slot)
    return point.statement, point.part, slot


def removals(program: Program) -> list[Removal]:
    """Everything that can be removed in one step: each ablation point; each variable, norm and head with all of its own."""
    every = ablation_points(program)
    groups = [[point] for point in every]
    for statement in program.statements:
        if isinstance(statement, Prediction):
            continue
        if isinstance(statement, Aggregate):
            groups.append([s for s in every if s.part == "line" and s.statement in statement.selectors])
        reading = _reading(program, statement.name)
        groups.append([s for s in every if s.part != "division" and (s.statement, s.slot) in reading])
        groups.append([s for s in every if s.part == "division" and program.by_name[s.statement].reads[s.slot].over == statement.name])
    found = [frozenset(identity(program, s) for s in group) for group in groups if group]
    return list(dict.fromkeys(found))


def _reading(program: Program, variable: str) -> set[tuple[str, int]]:
    """The lines and inputs that read a variable or an average of it; a line counts as slot 0 whichever side reads."""
    found = set()
    for statement in program.statements:
        for slot, read in enumerate(statement.reads):
            if read.variable == variable:
                if isinstance(statement, Aggregate):
                    found |= _reading(program, statement.name)
                else:
                    found.add((statement.name, slot if isinstance(statement, Norm | Mlp) else 0))
    return found


def describe(removals: Sequence[Removal]) -> str:
    """`without a1, s2, s3 ...`, for a person."""
    names = sorted({statement for removal in removals for statement, _, _ in removal})
    return "without " + ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
