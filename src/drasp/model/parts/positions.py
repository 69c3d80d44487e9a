"""Where a Transformer takes positions from, beside a table that is learned."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def sinusoidal(positions: int, width: int, base: float = 10000.0) -> np.ndarray:
    """A fixed table (positions, width): sines at even places, cosines at odd ones (Vaswani et al., "Attention is all you need", 2017)."""
    angles = np.arange(positions)[:, None] / base ** (np.arange(0, width, 2) / width)
    table = np.zeros((positions, width))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : width // 2])
    return table


@dataclass(frozen=True)
class Rotary:
    """Queries and keys turned by their position (Su et al., "RoFormer", 2021): each pair of coordinates by an angle of its own.

    Attributes:
        dimensions: how many coordinates of a head are turned, the first ones; an even number.
        base: pair f of F turns by position / base^(f / F).
        interleaved: whether the pairs are neighbours; else coordinate f goes with coordinate F + f.
    """

    dimensions: int
    base: float = 10000.0
    interleaved: bool = False

    def features(self, positions: int) -> np.ndarray:
        """(positions, dimensions + 1): of each pair the cosines, then the sines, then 1."""
        pairs = self.dimensions // 2
        angles = np.arange(positions)[:, None] / self.base ** (np.arange(pairs) / pairs)
        return np.concatenate([np.cos(angles), np.sin(angles), np.ones((positions, 1))], axis=1)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and the second coordinate of each pair."""
        count = self.dimensions // 2
        if self.interleaved:
            return np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2)
        return np.arange(count), np.arange(count, 2 * count)

    def turned(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, Dh) before they are turned -> (n * features, Dh): a turned row is the sum of its own, each times its feature."""
        first, second = self.pairs()
        count = len(first)
        found = np.zeros((len(rows), 2 * count + 1, rows.shape[1]))
        pair = np.arange(count)
        found[:, pair, first], found[:, pair, second] = rows[:, first], rows[:, second]
        found[:, count + pair, first], found[:, count + pair, second] = -rows[:, second], rows[:, first]
        found[:, -1, 2 * count :] = rows[:, 2 * count :]
        return found.reshape(-1, rows.shape[1])


class TorchRotary:
    """Rotary positions ready to run.

    Args:
        like: of the type wanted, and where that is.
    """

    def __init__(self, rotary: Rotary, positions: int, like: "Tensor") -> None:
        features = like.new_tensor(rotary.features(positions))
        self.cos, self.sin, _ = features.split([rotary.dimensions // 2, rotary.dimensions // 2, 1], dim=1)
        self.first, self.second = rotary.pairs()
        self.dimensions = rotary.dimensions

    def __call__(self, x: "Tensor", position_ids: "Tensor") -> "Tensor":
        """Queries or keys turned; of shape (..., time, Dh) for positions of shape (..., time)."""
        cos, sin = self.cos[position_ids], self.sin[position_ids]
        first, second = x[..., self.first], x[..., self.second]
        found = x.clone()
        found[..., self.first] = first * cos - second * sin
        found[..., self.second] = second * cos + first * sin
        return found
