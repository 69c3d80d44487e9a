"""Independent pieces of work on several threads, with the results in order: what comes out does not depend on how many threads there are.

NumPy and torch let go of Python's lock while they compute, so that threads suffice.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS_AT_MOST = 4  # each holds the memory of one piece


@cache
def threads() -> int:
    """How many pieces are worked on at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, THREADS_AT_MOST)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads())


def renew_threads() -> None:
    """What is begun from now on is worked on by new threads: torch settles for each thread, at its first use there, how many it takes."""
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_threads)  # a forked process has none of its parent's threads


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, some pieces ahead of what is asked for. The function may not call this itself, and has gradients on."""
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(_pool().submit(function, item))
            if len(ahead) > threads():
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
