"""Shares of sequences with their intervals, by length band."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

BAND_EDGES = ((0, 50), (51, 100), (101, 150))
USUAL_LENGTHS = (0, 150)  # of sequences, both ends included, where no others are asked for: all bands
Z = 1.959964  # standard deviations of a normal distribution that hold 95 % of it
DIGITS = 6  # behind the point of a share that is recorded


def lengths_of(text: str) -> tuple[int, int] | None:
    """What a text like 0-50 means; None where it means none."""
    ends = re.fullmatch(r"(\d{1,18})-(\d{1,18})", text)
    return None if ends is None else (int(ends[1]), int(ends[2]))


def bands(lengths: tuple[int, int]) -> list[tuple[int, int]]:
    """The length bands cut to `lengths`; what lies beyond the last band belongs to it."""
    low, high = lengths
    cut = []
    for start, end in BAND_EDGES:
        end = max(end, high) if end == BAND_EDGES[-1][1] else end
        if max(low, start) <= min(high, end):
            cut.append((max(low, start), min(high, end)))
    return cut


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n (Wilson, "Probable inference, the law of succession, and statistical inference", 1927)."""
    z = Z
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def rounded(share: float, n: int) -> tuple[float, float, float]:
    """A share of n and both ends of its interval, as they are recorded."""
    low, high = wilson(share, n)
    return round(share, DIGITS), round(low, DIGITS), round(high, DIGITS)


@dataclass(frozen=True)
class Share:
    """A share of sequences with its 95 % Wilson interval, which is the share itself where these are all that there are.

    Attributes:
        lengths: of the sequences, both ends included.
        sequences: how many there were.
    """

    lengths: tuple[int, int]
    accuracy: float
    low: float
    high: float
    sequences: int

    @classmethod
    def of(cls, lengths: tuple[int, int], right: int, sequences: int, whole: bool = False) -> "Share":
        """From how many were right; `whole` where there are no others."""
        share, low, high = rounded(right / sequences, sequences)
        return cls(lengths, share, share if whole else low, share if whole else high, sequences)


@dataclass(frozen=True)
class Banded:
    """One share over all sequences and one for each length band; empty bands are left out."""

    all: Share
    bands: tuple[Share, ...]

    @classmethod
    def of(cls, counts: Sequence[tuple[tuple[int, int], int, int]], all_inputs: bool = False) -> "Banded | None":
        """From the lengths, how many were right and how many there were, band by band; None where there were none at all.

        Args:
            all_inputs: whether these are all that there are.
        """
        held = [(lengths, right, n) for lengths, right, n in counts if n]
        if not held:
            return None
        whole = (held[0][0][0], held[-1][0][1])
        total = Share.of(whole, sum(right for _, right, _ in held), sum(n for _, _, n in held), all_inputs)
        return cls(total, tuple(Share.of(*each, all_inputs) for each in held))

    @property
    def worst(self) -> Share:
        """The band whose interval reaches lowest."""
        return min(self.bands, key=lambda share: share.low)
