"""Importing torch without looking for garbage, which takes a third of the time that it takes to begin and to end."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Inside the block nothing is looked for; what is there after it never is again, as modules last as long as their process."""
    if "torch" in sys.modules or not gc.isenabled():  # somebody else's process, whose objects may well become garbage
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
