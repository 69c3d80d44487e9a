"""How many threads torch uses, while a small model is trained or decompiled."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from drasp.core.parallel import renew_threads

# Up to this width one thread is as fast as several, and far faster when other work shares the processor.
ONE_THREAD_WIDTH = 64


@contextmanager
def one_thread(when: bool) -> Iterator[None]:
    """One thread inside the block, where `when` holds, also for what is worked on in parallel; afterwards as many as before."""
    threads = torch.get_num_threads()
    _set(1 if when else threads)
    try:
        yield
    finally:
        _set(threads)


def _set(threads: int) -> None:
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
        renew_threads()
