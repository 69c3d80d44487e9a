"""Torch as drasp needs it, whatever its caller has set for the whole process or the thread."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


def device_named(name: Any) -> torch.device:
    """What torch calls a device; "auto" is a GPU where there is one. Raises RuntimeError, as torch does, where it is none that is there."""
    found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    there = torch.cuda.device_count() if found.type == "cuda" else int(found.type == "cpu")
    if (found.index or 0) >= there:
        raise RuntimeError(f"there is no device {found} here")
    return found


@contextmanager
def own_modes() -> Iterator[None]:
    """Single precision by default, no autocast, gradients, new tensors on the CPU; afterwards as before."""
    before = torch.get_default_dtype()
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
