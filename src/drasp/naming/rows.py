"""The positions that a readout is fitted to: what it reads there, and what is to be predicted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.formulas import Coordinate
from drasp.ir.program import Program
from drasp.naming.judged import Judged, run
from drasp.naming.tuning import ReadoutTuning


@dataclass(frozen=True)
class Rows:
    """Positions at which something is predicted.

    Attributes:
        vocabulary: the tokens, in id order.  predicted: the outputs, in theirs.
        tokens: (n), the current token.  averages: for each average its coordinates (n, vocabulary).
        marks: for each comparison of positions its value (n).
        scale: (n), which makes counts of shares: the smallest share that matters becomes 1.
        outputs: (n, outputs) booleans: whether each is predicted.
        counts: (n), how many positions each stands for.
    """

    vocabulary: tuple[str, ...]
    predicted: tuple[str, ...]
    tokens: np.ndarray
    averages: dict[str, np.ndarray]
    marks: dict[str, np.ndarray]
    scale: np.ndarray
    outputs: np.ndarray
    counts: np.ndarray

    def features(self, coordinates: Sequence[Coordinate]) -> np.ndarray:
        """The value of each coordinate and the constant 1, as counts: (n, coordinates + 1)."""
        columns = [self._column(coordinate) for coordinate in coordinates]
        return np.stack([*columns, np.ones(len(self.tokens))], 1) * self.scale[:, None]

    def _column(self, coordinate: Coordinate) -> np.ndarray:
        name = coordinate.read.variable
        if name in self.marks:
            return self.marks[name]
        index = self.vocabulary.index(str(coordinate.label))
        return self.tokens == index if name == "token" else self.averages[name][:, index]

    def some(self, most: int) -> np.ndarray:
        """The indices of some rows, from the first to the last."""
        return np.linspace(0, len(self.tokens) - 1, min(most, len(self.tokens))).astype(int)

    def part(self, where: np.ndarray) -> "Rows":
        averages = {name: values[where] for name, values in self.averages.items()}
        marks = {name: values[where] for name, values in self.marks.items()}
        outputs = self.outputs[where]
        return Rows(self.vocabulary, self.predicted, self.tokens[where], averages, marks, self.scale[where], outputs, self.counts[where])


def rows_of(named: Program, reads: Sequence[str], judged: Iterable[Judged], tuning: ReadoutTuning, compared: Sequence[str] = ()) -> Rows:
    """Every scored position, equal ones once.

    Args:
        reads: averages of tokens.  compared: comparisons of positions.
    """
    tokens, values, marks, target = map(np.concatenate, zip(*(_of(named, reads, compared, part, tuning) for part in judged), strict=True))
    key = np.concatenate([tokens[:, None], values.reshape(len(tokens), np.prod(values.shape[1:], dtype=int)).round(6), marks, target], 1)
    _, kept, counts = np.unique(key, axis=0, return_index=True, return_counts=True)
    tokens, values, marks, target = tokens[kept], values[kept], marks[kept], target[kept]
    smallest = np.where(values > tuning.leak, values, 1).min((1, 2), initial=1)
    averages = {name: values[:, i] for i, name in enumerate(reads)}
    marked = {name: marks[:, i] for i, name in enumerate(compared)}
    header = named.header
    return Rows(header.vocabulary, header.predicted, tokens, averages, marked, 1 / smallest, target.astype(bool), counts)


def _of(
    named: Program, reads: Sequence[str], compared: Sequence[str], part: Judged, tuning: ReadoutTuning
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each scored position: token (n), averages (n, reads, vocabulary), comparisons (n, compared), prediction (n, vocabulary)."""
    sample, target = part.sample, part.predicted
    scored = sample.scored
    trace = run(named, sample, part.swap)
    tokens = sample.token_ids[scored]
    values = np.zeros((len(tokens), 0, len(named.header.vocabulary)))
    if reads:
        values = np.stack([_clean(trace.values[name][scored], trace.attention[name], tuning) for name in reads], 1)
    marks = np.zeros((len(tokens), 0))
    if compared:
        marks = np.stack([trace.values[name][scored][:, 0].round(2) for name in compared], 1)
    return tokens, values, marks, target


def _clean(values: np.ndarray, attention: np.ndarray, tuning: ReadoutTuning) -> np.ndarray:
    """Shares without the leaks of an attention that picks one key."""
    if attention.max(-1).mean() < tuning.concentrated:
        return values
    return np.where(values.max(-1, keepdims=True) > 1 - 10 * tuning.leak, values.round(2), values)
