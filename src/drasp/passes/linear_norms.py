"""Every LayerNorm made a constant (the Linear LayerNorm Assumption of Huang et al., by token or position where it can)."""

from drasp.core.budget import Budget
from drasp.ir.program import Program
from drasp.learn.circuit import Edges
from drasp.learn.means import mean_values
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Found, Steps, Trial
from drasp.passes.aim import Aim
from drasp.passes.circuit import expand
from drasp.passes.refit import refit
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import ablation_points


def linear_norms(edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The whole model as a program, every divisor replaced by a constant, by token or position where it divides a one-hot variable; the
    rest is fitted where match is short. None where that does not bring it back.
    """
    program = expand(edges.whole, oracle, aim)
    means = mean_values(program, oracle, budget)
    linear = ablate(program, Ablation({s: 0.0 for s in ablation_points(program) if s.part == "division"}, means))
    match = yield Trial(linear, "constant norms")
    if match < aim.threshold:
        linear, match = yield from refit(linear, "constant norms, refitted", oracle, aim, budget)
    if match < aim.threshold:
        return None
    yield Found(linear)
    return linear
