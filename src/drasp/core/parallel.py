"""Independent pieces of work on several threads, with the results in order: what comes out does not depend on how many threads there are.

NumPy and torch let go of Python's lock while they compute, so that threads suffice.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from drasp.core.budget import Budget

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS_AT_MOST = 4  # each holds the memory of one piece
_most = THREADS_AT_MOST
LOOKS_EVERY = 0.5  # seconds, at the clock, while a piece is waited for

_own = threading.local()
"""Of each thread `left`: the event that is set once nobody waits for the piece that it works on."""


class Left(BaseException):
    """Nobody waits for this piece any more. No `Exception`: code that guards against those of a user's task does not swallow it."""


def threads() -> int:
    """How many pieces are worked on at once."""
    return min(cores(), _most)


def _ahead() -> int:
    """How many pieces are worked on while the caller works too; on one core it waits for each."""
    most = threads()
    return most if most > 1 else 0


def limit_threads(most: int) -> None:
    """From now on so many pieces are worked on at once at the most: for a process that is one of several on the same cores."""
    global _most
    _most = most
    renew_threads()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads())


def renew_threads() -> None:
    """What is begun from now on is worked on by new threads: torch settles for each thread, at its first use there, how many it takes."""
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_threads)  # a forked process has none of its parent's threads


def go_on() -> None:
    """Called between the parts of a long piece. Raises Left where nobody waits for it any more."""
    left = getattr(_own, "left", None)
    if left is not None and left.is_set():
        raise Left


def in_order(function: Callable[[Item], Result], items: Iterable[Item], budget: Budget | None = None) -> Iterator[Result]:
    """`map`, some pieces ahead of what is asked for. The function may not call this itself, and has gradients on.

    Args:
        budget: no piece is waited for once it is spent.

    Raises:
        OutOfBudget: it is.
    """
    ahead: deque[Future[Result]] = deque()
    left = threading.Event()

    def piece(item: Item) -> Result:
        _own.left = left
        return function(item)

    try:
        for item in items:
            ahead.append(_pool().submit(piece, item))
            if len(ahead) > _ahead():
                yield _waited(ahead.popleft(), budget)
        while ahead:
            yield _waited(ahead.popleft(), budget)
    finally:
        left.set()
        for future in ahead:
            future.cancel()


def _waited(future: Future[Result], budget: Budget | None) -> Result:
    """The result. What is checked here would be checked once it is there: the same check is the last one, whatever the pace."""
    while budget is not None and not wait([future], LOOKS_EVERY).done:
        if not budget.left():
            budget.check()
    return future.result()
