"""What all tasks share: drawing lengths, building ragged sequences, and turning them into a padded sample.

A ragged array is (rows, width) integers in which each row's entries stand on the left and -1 fills the rest.
"""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np

from drasp.errors import TaskError
from drasp.tasks.protocol import Sample

SPECIAL = ("<bos>", "<sep>", "<eos>", "<pad>")
LONGEST = 150
MOST = 1_000_000
"""Token ids and positions that can be counted without being listed: what they take hangs on one number."""


def cut(ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The first `sizes[i]` entries of each row, ragged. `ids` is (rows, width) or broadcasts to it, with a width no less than any size."""
    ids = np.atleast_2d(ids)[:, : sizes.max(initial=0)]
    return np.where(np.arange(ids.shape[1]) < sizes[:, None], ids, -1)


def join(*parts: np.ndarray) -> np.ndarray:
    """Arrays (rows, width) side by side, each row's entries moved together: ragged. A part of one row stands in every row."""
    rows = np.broadcast_shapes(*((len(part), 1) for part in parts))[0]
    wide = np.concatenate([np.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)
    real = wide >= 0
    return fill(wide[real], real.sum(1))


def runs(ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Each id repeated as often as its size says, ragged. `sizes` is (rows, runs); `ids` broadcasts to it."""
    return fill(np.repeat(np.broadcast_to(ids, sizes.shape).ravel(), sizes.ravel()), sizes.sum(1))


def shuffled(rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """In random order, `sizes[i, s]` copies of each id s, ragged. `sizes` is (rows, ids)."""
    in_order = runs(np.arange(sizes.shape[1]), sizes)
    keys = rng.random(in_order.shape)
    keys[in_order < 0] = 1
    return np.take_along_axis(in_order, keys.argsort(1), axis=1)


def fill(entries: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Ragged rows of the given sizes, filled with the entries one row after another."""
    ragged = np.full((len(sizes), sizes.max(initial=0)), -1)
    ragged[np.arange(ragged.shape[1]) < sizes[:, None]] = entries
    return ragged


def check_names(where: str, what: str, names: object) -> None:
    """Raises TaskError unless these are different names of tokens or outputs."""
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise TaskError(f"{where}: {what} must be a tuple of strings")
    for name in names:
        if not name.isprintable() or not name or " " in name:
            raise TaskError(f"{where}: the token {name!r} of the {what} is empty or has a space or an unprintable character")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise TaskError(f"{where}: {what} has {twice} twice")


def check_header(where: str, vocabulary: object, predict: object, positions: object, order: object) -> None:
    """Raises TaskError, which begins with `where`, if a task's members break a rule; `positions` and `order` may be None."""
    check_names(where, "vocabulary", vocabulary)
    if not vocabulary:
        raise TaskError(f"{where}: vocabulary is empty")
    if not isinstance(predict, str) or predict not in ("next-token", "next-token-set"):
        raise TaskError(f"{where}: predict must be next-token or next-token-set, not {predict!r}")
    if positions is not None and (not isinstance(positions, int) or isinstance(positions, bool) or not 0 < positions <= MOST):
        raise TaskError(f"{where}: positions must be a whole number from 1 to {MOST}, not {positions!r}")
    if order is None:
        return
    assert isinstance(vocabulary, tuple)
    tokens = isinstance(order, tuple) and order and all(isinstance(token, str) and token in vocabulary for token in order)
    if not isinstance(order, tuple) or not tokens or len(set(order)) < len(order):
        raise TaskError(f"{where}: order must be a tuple of different tokens of the vocabulary")


class SuiteTask(ABC):
    """What the tasks of the suite have in common.

    Attributes:
        name, vocabulary, predict, positions, order: see `drasp.tasks.protocol.Task`.
        description: one line in plain words.
        symbols: how many symbols the vocabulary has before the special tokens.
        valid_lengths: the lengths that sequences can have.
    """

    def __init__(
        self,
        name: str,
        description: str,
        symbols: tuple[str, ...],
        valid_lengths: range,
        positions: int,
        predict: Literal["next-token", "next-token-set"],
    ):
        self.name = name
        self.description = description
        self.vocabulary = (*symbols, *SPECIAL)
        self.predict = predict
        self.positions = positions
        self.order: tuple[str, ...] | None = None
        self.valid_lengths = valid_lengths
        self.symbols = len(symbols)
        self.bos, self.sep, self.eos, self.pad = range(self.symbols, self.symbols + 4)

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        """See `drasp.tasks.protocol.Task`. Raises TaskError if no length in `lengths` is valid, or if the longest is too long for the task.

        Offsets are uniform over those that leave the sequence within the task's positions; one without `<eos>` leaves room for it.
        """
        ragged, first_scored = self._sequences(rng, self._draw_lengths(rng, count, lengths))
        unclosed = (ragged != self.eos).all(1)[:, None]
        offsets = rng.integers(0, self.positions - (ragged >= 0).sum(1)[:, None] - unclosed, endpoint=True)
        return self._as_sample(ragged, first_scored, offsets)

    @abstractmethod
    def every(self, length: int, most: int) -> Sample | None:
        """All the sequences that there are of a length, in order of their symbols, from position 0 on; without rows where there are none.

        None where there are more than `most`, or the task cannot list them.
        """

    @abstractmethod
    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """See `drasp.tasks.protocol.Task`."""

    def _as_sample(self, ragged: np.ndarray, first_scored: np.ndarray, offsets: np.ndarray | int) -> Sample:
        """What `_sequences` gives, padded."""
        sizes = (ragged >= 0).sum(1)[:, None]
        place = np.arange(ragged.shape[1])
        return Sample(
            np.where(ragged < 0, self.pad, ragged),
            offsets + np.minimum(place, sizes - 1),
            (place >= first_scored[:, None]) & (place < sizes - 1),
        )

    @abstractmethod
    def _sequences(self, rng: np.random.Generator, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ragged sequences, one of each length, and (rows) the position from which each is scored, up to its last token but one."""

    def _draw_lengths(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> np.ndarray:
        """(count) lengths, uniform over the valid ones."""
        low, high = lengths
        if high > LONGEST:
            raise TaskError(f"task {self.name}: sequences have lengths up to {LONGEST}, not {high}")
        valid = [n for n in self.valid_lengths if low <= n <= high]
        if not valid:
            first, second, *_, last = self.valid_lengths
            raise TaskError(f"task {self.name}: no length in {low}-{high} is valid; those are {first}, {second}, ..., {last}")
        return rng.choice(valid, count)
