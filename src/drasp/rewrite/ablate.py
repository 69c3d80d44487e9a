"""An ablation applied: a program with some of its parts scaled or replaced by their means becomes a program without them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from drasp.ir.nodes import ONE_READ, Mlp, Norm, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Program
from drasp.rewrite.draft import Draft, is_dense
from drasp.rewrite.simplify import simplify, undivide
from drasp.run.gated import AblationPoint


@dataclass(frozen=True)
class Ablation:
    """What is left of each part of a program: a part adds `m * value + (1 - m) * mean`, a mean ablation where m is 0.

    Attributes:
        multipliers: m by part; missing ones are 1. That of a division is 0 or 1.
        means, constants: as in `drasp.run.gated.Mask`.
    """

    multipliers: Mapping[AblationPoint, float] = field(default_factory=dict)
    means: Mapping[AblationPoint, np.ndarray] = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)


def ablate(program: Program, ablation: Ablation) -> Program:
    """The simplified program that computes what `program` computes under the ablation."""
    draft = Draft.of(program)
    slots = {s.name: list(range(len(s.reads))) for s in program.statements}
    for statement in program.statements:
        if isinstance(statement, Norm | Mlp) and is_dense(statement):
            slots[statement.name] = _ablate_inputs(draft, statement, ablation)
    for point, m in ablation.multipliers.items():
        if point.statement not in draft.statements:  # a line removed before its divisors
            continue
        if point.part == "line":
            if isinstance(draft.statements[point.statement], Project):
                _add_constant(draft, (1 - m) * ablation.means.get(point, np.zeros(1)))
            if m == 0:
                draft.remove(point.statement)
            elif m != 1:
                draft.scale(point.statement, m)
        elif point.part == "division" and m == 0 and point.slot in slots[point.statement]:
            undivide(draft, point.statement, slots[point.statement].index(point.slot), ablation.means[point])
    if "prediction" in ablation.constants:
        _add_constant(draft, ablation.constants["prediction"])
    return simplify(draft.build())


def _add_constant(draft: Draft, constant: np.ndarray) -> None:
    """Adds a vector to the logits, as a projection of `one` that `simplify` merges with others."""
    if not constant.any():
        return
    op = draft.fresh("B")
    name = draft.fresh("logits")
    draft.add(Project(name, ONE_READ, Dense(op)), {op: constant[None]}, before="prediction")
    prediction = draft.statements["prediction"]
    assert isinstance(prediction, Prediction)
    draft.put(Prediction((*prediction.logits, name)))


def _ablate_inputs(draft: Draft, statement: Norm | Mlp, ablation: Ablation) -> list[int]:
    """Scales the inputs, drops those at 0, and adds their means as an input `one`. Returns the slots that are left."""
    points = [AblationPoint(statement.name, "input", i) for i in range(len(statement.inputs))]
    multipliers = [ablation.multipliers.get(point, 1.0) for point in points]
    constant = ablation.constants.get(statement.name)
    if all(m == 1.0 for m in multipliers) and constant is None:
        return list(range(len(points)))
    blocks = draft.input_blocks(statement)
    total = np.zeros(blocks[0].shape[1]) if constant is None else np.asarray(constant, dtype=np.float64)
    for point, m in zip(points, multipliers, strict=True):
        total = total + (1 - m) * ablation.means.get(point, np.zeros(1))
    left = [i for i, m in enumerate(multipliers) if m != 0]
    inputs = [statement.inputs[i] for i in left]
    blocks = [multipliers[i] * blocks[i] for i in left]
    if total.any() or not left:
        inputs.append(ONE_READ)
        blocks.append(total[None])
    draft.set_inputs(statement, tuple(inputs), blocks)
    return left
