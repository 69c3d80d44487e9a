"""Pass: the whole model in symbols, read off the model itself: which averages its output needs, what its heads attend to, what it makes
of that. No gradient, no refit, no expansion.
"""

import numpy as np

from drasp.core.budget import Budget
from drasp.core.seeds import Stream
from drasp.ir.program import Program
from drasp.learn.circuit import Edges
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Doing, Found, Steps, Trial
from drasp.learn.values import attended, sources, value_circuit
from drasp.naming.inside import Inside, Seen, describe_heads
from drasp.passes.aim import Aim
from drasp.passes.circuit import header_of
from drasp.passes.shorten import shortened


def names_first(edges: Edges, oracle: Oracle, aim: Aim, budget: Budget) -> Steps[Program | None]:
    """The best program in symbols that was found; None where there is none."""
    tuning = aim.names
    yield Doing("what the heads move")
    sequences = attended(oracle, tuning.values, budget)
    circuit = value_circuit(edges, sequences, aim.least, tuning.values, budget)
    needed = sources(circuit)
    rng = np.random.default_rng([oracle.seed, Stream.NAMING])
    seen = [Seen(_sample(part.batch), {head: weights.cpu().numpy() for head, weights in part.attention.items()}) for part in sequences]
    inside = Inside(header_of(oracle.study), edges.wired.layers, edges.wired.heads, tuning.inside)
    yield from describe_heads(inside, seen, needed, rng)
    program = inside.program(needed)
    best: Program | None = None
    best_match = 0.0
    yield Doing("naming the readout", program)
    for named in _readouts(program, oracle, aim, rng, budget):
        match = yield Trial(named.program, "the readout named", min(best_match, aim.threshold))
        if best is None or (min(match, aim.threshold), -_length(named.program)) > (min(best_match, aim.threshold), -_length(best)):
            best, best_match = named.program, match
    if best is None or best_match < aim.least:
        return best
    yield Found(best)
    return (yield from shortened(best, best_match))
