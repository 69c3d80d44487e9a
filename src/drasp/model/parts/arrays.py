"""Weights from wherever they come, as arrays."""

from typing import Any

import numpy as np

from drasp.errors import UnsupportedModelError


def left_out() -> np.ndarray:
    """Weights that a model has not."""
    return np.zeros(0)


def is_left_out(weights: Any) -> bool:
    return weights is None or len(weights) == 0


def as_numbers(weights: Any, what: str) -> np.ndarray:
    """The same of any shape. Raises UnsupportedModelError where there are no numbers, as on the device `meta`."""
    try:
        if hasattr(weights, "detach"):
            weights = weights.detach().cpu().double().numpy()
        with np.errstate(invalid="ignore"):  # of a NaN that signals; that it is one is said by others
            return np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnsupportedModelError(f"{what} cannot be read as numbers: {error}; the weights must be loaded, as dense tensors") from None


def array(weights: Any, what: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Weights in double precision: an array, a tensor of torch on any device, or lists of numbers.

    Raises:
        UnsupportedModelError: they have another shape, or are not finite; None in `shape` stands for any size.
    """
    found = as_numbers(weights, what)
    if found.ndim != len(shape) or any(size not in (None, has) for size, has in zip(shape, found.shape, strict=True)):
        expected = " x ".join("any" if size is None else str(size) for size in shape) or "one number"
        raise UnsupportedModelError(f"{what} has shape {found.shape}, expected {expected}")
    if not np.isfinite(found).all():
        raise UnsupportedModelError(f"{what} holds NaN or infinite numbers")
    return found


def array_or(weights: Any, what: str, shape: tuple[int, ...], otherwise: float = 0.0) -> np.ndarray:
    """The same; where it is left out, one number everywhere."""
    return np.full(shape, otherwise) if is_left_out(weights) else array(weights, what, shape)
