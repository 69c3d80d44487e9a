"""Factors of Gram matrices."""

import numpy as np


def gram_factor(gram: np.ndarray, tolerance: float = 1e-13) -> np.ndarray:
    """F with F F^T = gram, for a positive semi-definite matrix of low rank: a Cholesky factorisation with pivots.

    Args:
        gram: (n, n). tolerance: a pivot below this share of the largest ends it.

    Returns: (n, rank).
    """
    rest = np.diag(gram).copy()
    largest = rest.max(initial=0.0)
    factor = np.zeros(gram.shape)
    rank = 0
    while rank < len(gram):
        pivot = int(rest.argmax())
        if rest[pivot] <= tolerance * largest or largest == 0.0:
            break
        column = (gram[:, pivot] - factor[:, :rank] @ factor[pivot, :rank]) / np.sqrt(rest[pivot])
        factor[:, rank] = column
        rank += 1
        rest = rest - column**2
        rest[pivot] = 0.0
    return factor[:, : max(rank, 1)].copy()
