"""How many threads torch uses, while a small model is trained or decompiled."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Up to this width one thread is as fast as several, and far faster when other work shares the processor.
ONE_THREAD_WIDTH = 64


@contextmanager
def one_thread(when: bool) -> Iterator[None]:
    """One thread inside the block, where `when` holds; afterwards as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if when else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
