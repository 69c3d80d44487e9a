"""Interchange interventions on a program: an average takes its value from another input.

There are two. The *value*: what it is there. The *reading*: what it would be if it looked at the other input's keys and values with its own
query. They differ where the query decides what is read.

(Geiger et al., "Causal Abstractions of Neural Networks", arXiv 2106.02997.)
"""

from typing import Literal

import numpy as np

from drasp.ir.nodes import Aggregate, Select
from drasp.ir.program import Program
from drasp.run.numpy_fast import Scores, Trace, dense, padding_keys, softmax

SwapKind = Literal["value", "reading"]
SWAPS: tuple[SwapKind, ...] = ("value", "reading")


def swapped_value(program: Program, name: str, base: Trace, other: Trace, kind: SwapKind) -> np.ndarray:
    """What a variable is in `base` after a swap with `other`: (batch, time, size). What is no average has nothing that it reads."""
    if kind == "value" or not isinstance(program.by_name[name], Aggregate):
        return other.value(name)
    return _looking_at(program, name, base, other)


def _looking_at(program: Program, name: str, base: Trace, other: Trace) -> np.ndarray:
    """What an average would be if it looked at another input's keys and values, with its own queries: (batch, time, size)."""
    statement = program.by_name[name]
    assert isinstance(statement, Aggregate)
    value = dense(other.taken(statement.value), other.logits.dtype)
    total = np.zeros((*value.shape[:2], value.shape[1]))
    for selector in statement.selectors:
        select = program.by_name[selector]
        assert isinstance(select, Select)
        part = Scores(base.taken(select.query), program.matrix(selector).astype(total.dtype), other.taken(select.key))
        total += part.block(slice(None), slice(None), slice(None))
    padding = padding_keys(program.header, dense(other.vectors["token"], total.dtype).argmax(-1))
    return softmax(total, None if program.header.bidirectional else 0, padding) @ value
