"""Gauges: the changes of an operator that leave behaviour as it is, to be fixed before it is named, rounded or printed.

A selector may gain any constant per query row where the key's coordinates sum to 1, and logits any constant per row where one of them is
predicted by softmax: the gauge "row". Where there is no such freedom an operator still has one constant term: the gauge "constant", in
which two matrices that differ by one number are the same up to that term.
"""

from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Gauge = Literal["row", "constant"]


def group_sums(values: Array, gauge: Gauge) -> Array:
    """Sums over what one constant is added to: of (rows, columns) gives (rows, 1) or (1, 1)."""
    return values.sum(1, keepdims=True) if gauge == "row" else values.sum(keepdims=True)


def centred(matrix: Array, weights: Array, gauge: Gauge) -> Array:
    """The matrix in the gauge in which its weighted mean is 0, which is its part that no gauge can change.

    Args:
        matrix, weights: (rows, columns); weights >= 0. A row of weight 0 becomes 0.
    """
    mass = group_sums(weights, gauge)
    mean = group_sums(weights * matrix, gauge) / np.where(mass == 0, 1, mass)
    return np.where(weights > 0, matrix - mean, 0)


def sparsest(matrix: Array, weights: Array, tolerance: float) -> Array:
    """The matrix with a constant taken from each row such that most of the row's entries are within `tolerance` of 0, entries of weight 0
    left out of account; of several such constants that of the smallest entries. The transpose gives the row common to all rows, which
    moves freely between `project(inp=x)` and `project(op=c)`, or `select(q=x)` and `select(k=..)`, where x's coordinates sum to 1.
    """
    result = np.zeros_like(matrix, dtype=np.float64)
    for row in range(len(matrix)):
        present = weights[row] > 0
        values = np.sort(matrix[row, present])
        if len(values):
            ends = np.searchsorted(values, values + 2 * tolerance, side="right")
            starts = np.arange(len(values))
            counts = ends - starts
            best = starts[counts == counts.max()]
            levels = [float(values[start : ends[start]].mean()) for start in best]
            level = min(levels, key=lambda level: float(np.abs(values - level).sum()))
            result[row, present] = matrix[row, present] - level
    return result


def smallest(matrix: Array, weights: Array) -> Array:
    """The matrix with a constant taken from each row such that the sum of its entries' sizes is least: their median; entries of weight 0
    become 0."""
    result = np.zeros_like(matrix, dtype=np.float64)
    for row in range(len(matrix)):
        present = weights[row] > 0
        if present.any():
            result[row, present] = matrix[row, present] - np.median(matrix[row, present])
    return result
