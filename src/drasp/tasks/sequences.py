"""What the tasks have in common that are given as sequences: how they are drawn, kept for the judge, and padded."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from drasp.errors import TaskError
from drasp.tasks.protocol import Asked, Parts, Sample

ALL_AT_MOST = 20_000
"""Inputs: of so many every one is judged."""
JUDGED_EVERY = 3
"""One sequence of so many is kept for the judge."""
ROUNDS = 20
"""How often a function is asked for further sequences."""
COVERED = 0.8
"""Share of all inputs that must have come up when a function was asked for three times as many."""

Ids = np.ndarray
Drawn = Callable[[np.random.Generator, int, tuple[int, int]], list[Ids]]


class Mark(NamedTuple):
    """The scored places of a sequence, and what is right there: ids of outputs, -1 where nobody knows, or (places, outputs) booleans."""

    places: np.ndarray
    right: np.ndarray


class SequenceTask(ABC):
    """A task of given sequences, or of a function that draws them.

    Attributes:
        name, vocabulary, predict, positions, order, outputs, padding: see `drasp.tasks.protocol.Task`.
        description: one line in plain words.
        offset: the position of the first token, or "random".
        rows: the sequences as ids (time); None where `drawn` draws them.
        bidirectional: whether the model reads what comes behind the last scored place too.
    """

    name: str
    description: str
    vocabulary: tuple[str, ...]
    predict: Literal["next-token", "next-token-set"]
    positions: int | None = None
    order: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    padding: str | None = None
    offset: int | Literal["random"] = 0
    rows: Sequence[Ids] | None = None
    drawn: Drawn | None = None
    bidirectional: bool = False
    _parts: Parts | None = None

    @abstractmethod
    def mark(self, ids: Ids) -> Mark:
        """What counts in a sequence, and what is right there."""

    def right_at(self, ids: Ids) -> np.ndarray:
        """What is right at its scored places."""
        return self.mark(ids).right

    def scored(self, ids: Ids) -> np.ndarray:
        """Its scored places."""
        return self.mark(ids).places

    def following(self, ids: Ids, places: np.ndarray) -> np.ndarray:
        """The token that follows each place, -1 behind the last; where outputs are no tokens nobody knows what is right."""
        return np.append(ids, -1)[places + 1] if self.outputs is None else np.full(len(places), -1)

    def for_model(self, model: Asked) -> "SequenceTask":
        """See `drasp.tasks.protocol.Task`."""
        found = copy(self)
        found.bidirectional, found._parts = model.bidirectional, None
        return found

    def length(self, ids: Ids) -> int:
        """The length by which a sequence belongs to a band: its tokens."""
        return len(ids)

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        """See `drasp.tasks.protocol.Task`. Raises TaskError if no sequence has a length in `lengths`."""
        if self.rows is None:
            return self._padded(self._fresh(rng, count, lengths), rng)
        fitting = self._fitting(self.rows, lengths)
        return self._padded([fitting[i] for i in rng.choice(len(fitting), count)], rng)

    def different(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        """As `sample`, no sequence twice; of given ones fewer where there are not so many."""
        if self.rows is None:
            return self._padded(_distinct(self._fresh(rng, count, lengths)), rng)
        fitting = _distinct(self._fitting(self.rows, lengths))
        chosen = rng.permutation(len(fitting))[:count]
        return self._padded([fitting[i] for i in sorted(chosen)], rng)

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """See `drasp.tasks.protocol.Task`; padding is known by its token, where there is one."""
        real = np.ones(token_ids.shape, dtype=bool) if self.padding is None else token_ids != self.vocabulary.index(self.padding)
        return self._right(token_ids, real.sum(1))

    def right(self, sample: Sample) -> np.ndarray:
        """See `drasp.tasks.protocol.Task`."""
        return self._right(sample.token_ids, sample.lengths)

    def parts(self) -> Parts:
        """See `drasp.tasks.protocol.Parts`: a list that holds every input is judged whole, of another one a part is kept for the judge."""
        if self._parts is None:
            self._parts = self._split()
        return self._parts

    def _split(self) -> Parts:
        if self.rows is None:
            every = self._every_input()
            return Parts(self, self, False) if every is None else Parts(self._with(every), self._with(every), True)
        distinct = sorted(_distinct(self.rows), key=self.length)
        if len(distinct) == 1 or (len(distinct) <= ALL_AT_MOST and _inputs(self._read(distinct)) == len(distinct)):
            return Parts(self, self, len(distinct) > 1)
        # Within each stretch of like lengths in an order of its own, so that nothing in the order of the list decides.
        order = np.lexsort((np.random.default_rng(0).random(len(distinct)), np.array([self.length(ids) for ids in distinct])))
        kept = {distinct[i].tobytes() for i in order[1::JUDGED_EVERY]}
        judged = [ids for ids in self.rows if ids.tobytes() in kept]
        return Parts(self._with([ids for ids in self.rows if ids.tobytes() not in kept]), self._with(judged), False)

    def _with(self, rows: Sequence[Ids]) -> "SequenceTask":
        other = copy(self)
        other.rows, other._parts = rows, None
        return other

    def _read(self, rows: Sequence[Ids]) -> list[Ids]:
        """What a prediction can depend on: each sequence up to its last scored place, or all of it."""
        return list(rows) if self.bidirectional else [ids[: self.scored(ids).max() + 1] for ids in rows]

    def _every_input(self) -> list[Ids] | None:
        """All inputs that the function gives, where they are few: every choice of a token at each place, all of which have come up."""
        rng, asked = np.random.default_rng(0), 0
        found: dict[bytes, Ids] = {}
        for _ in range(ROUNDS):
            drawn = self._asked(rng, ALL_AT_MOST if asked else ALL_AT_MOST // 20, (0, ALL_AT_MOST))
            asked += len(drawn)
            for ids, read in zip(drawn, self._read(drawn), strict=True):
                found.setdefault(read.tobytes(), ids)
            whole = _inputs(self._read(list(found.values())))
            if not asked or not whole or whole > ALL_AT_MOST or (asked > 3 * whole and len(found) < COVERED * whole):
                return None
            if whole == len(found):
                return list(found.values())
        return None

    def _fitting(self, rows: Sequence[Ids], lengths: tuple[int, int]) -> list[Ids]:
        found = [ids for ids in rows if lengths[0] <= self.length(ids) <= lengths[1]]
        if not found:
            raise self._none_of(lengths, [self.length(ids) for ids in rows])
        return found

    def _none_of(self, lengths: tuple[int, int], known: Sequence[int]) -> TaskError:
        have = f"; they have {min(known)}-{max(known)}" if known else ""
        return TaskError(f"task {self.name}: no sequence has a length in {lengths[0]}-{lengths[1]}{have}")

    def _asked(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> list[Ids]:
        assert self.drawn is not None
        return self.drawn(rng, count, lengths)

    def _fresh(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> list[Ids]:
        """What the function draws, as far as it has a length that is asked for."""
        kept: list[Ids] = []
        known: list[int] = []
        for _ in range(ROUNDS):
            found = self._asked(rng, max(count - len(kept), ROUNDS), lengths)
            known += map(self.length, found)
            kept += [ids for ids in found if lengths[0] <= self.length(ids) <= lengths[1]]
            if len(kept) >= count:
                return kept[:count]
            if not kept:
                break
        if not kept:
            raise self._none_of(lengths, known)
        return [kept[i] for i in rng.choice(len(kept), count)]

    def _padded(self, rows: Sequence[Ids], rng: np.random.Generator) -> Sample:
        sizes = np.array([len(ids) for ids in rows])
        place = np.arange(sizes.max())
        token_ids = np.full((len(rows), sizes.max()), 0 if self.padding is None else self.vocabulary.index(self.padding))
        scored = np.zeros(token_ids.shape, dtype=bool)
        token_ids[place < sizes[:, None]] = np.concatenate(rows)
        for row, ids in enumerate(rows):
            scored[row, self.scored(ids)] = True
        if self.offset == "random":
            positions = int(sizes.max()) if self.positions is None else self.positions
            first = rng.integers(0, np.maximum(positions - sizes, 0), endpoint=True)[:, None]
        else:
            first = np.full((len(rows), 1), self.offset)
        return Sample(token_ids, first + np.minimum(place, sizes[:, None] - 1), scored)

    def _right(self, token_ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        names = self.vocabulary if self.outputs is None else self.outputs
        sets = self.predict == "next-token-set"
        found = np.zeros((*token_ids.shape, len(names)), dtype=bool) if sets else np.full(token_ids.shape, -1)
        for row, size in enumerate(sizes):
            places, right = self.mark(token_ids[row, :size].astype(np.int64))
            found[row, places] = right
        return found


def places_said(scored: Any, count: int) -> list[Any]:
    """The places that "all", "last" or positions, negative ones from the end, are in a sequence of so many tokens."""
    if isinstance(scored, str):
        return list(range(count)) if scored == "all" else [count - 1]
    listed = [scored] if isinstance(scored, int) else list(scored)
    return [place + count if isinstance(place, int) and place < 0 else place for place in listed]


def _distinct(rows: Sequence[Ids]) -> list[Ids]:
    """Each sequence once, where it came first."""
    return list({ids.tobytes(): ids for ids in reversed(rows)}.values())[::-1]


def _inputs(rows: Sequence[Ids]) -> int:
    """How many inputs there are where every token that comes up at a place can come up there: by length, what all end with left out."""
    if len({ids.tobytes() for ids in rows}) < len(rows):
        return 0
    while min(map(len, rows)) > 1 and len({int(ids[-1]) for ids in rows}) == 1:
        rows = [ids[:-1] for ids in rows]
    sizes = sorted({len(ids) for ids in rows})
    choices = [len({int(ids[place]) for ids in rows if len(ids) > place}) for place in range(sizes[-1])]
    return sum(prod(choices[:size]) for size in sizes)
