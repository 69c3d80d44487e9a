"""Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): many removals at once, fewer where
that fails.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from drasp.learn.trial import Steps

State = TypeVar("State")
Item = TypeVar("Item")


def in_chunks(
    start: State,
    order: Sequence[Item],
    without: Callable[[State, Sequence[Item]], State | None],
    keeps: Callable[[State], Steps[bool]],
    failures_at_most: int,
) -> Steps[State | None]:
    """Removes items in order, as many at once as match bears, until some in a row fail; None if all do.

    Args:
        without: what is left of a state without some items; None where that is no simpler.
        keeps: whether a state still matches.
    """
    current, pending = start, list(order)
    failures = 0
    chunk = max(1, len(pending) // 2)
    while pending and failures < failures_at_most:
        smaller = without(current, pending[:chunk])
        if smaller is not None and (yield from keeps(smaller)):
            current = smaller
            pending = pending[chunk:]
            chunk *= 2
            failures = 0
        elif chunk > 1 and smaller is not None:
            chunk //= 2
        else:
            pending = pending[chunk:]
            failures += smaller is not None
    return None if current is start else current
