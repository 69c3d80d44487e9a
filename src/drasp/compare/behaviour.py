"""Where two programs predict differently: on all short inputs, on random ones, and on a task's sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.compare.lines import Ground
from drasp.core.intervals import USUAL_LENGTHS
from drasp.ir.nodes import BUILT_IN, Select
from drasp.ir.program import Program
from drasp.run.numpy_fast import logits
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_sample

Array = np.ndarray[Any, Any]

MOST_SHORT = 20_000  # strings that are listed
RANDOM, LENGTHS = 1_000, 20  # strings drawn, of so many lengths
TASK_SEQUENCES = 1_000
LONGEST = 100  # tokens of a string that is listed or drawn
MOST_WORK = 2e8  # numbers that are worked out for one kind of input
CHUNK = 1 << 23  # of them at once
TIE = 1e-9  # logits that are as close are equal but for rounding


@dataclass(frozen=True)
class Shown:
    """An input on which two programs predict differently at its last position.

    Attributes:
        tokens: the input; the positions of its tokens follow each other from `offset` on.
        index: the place of the token at which the predictions differ: the last, but where attention sees what comes later.
        a, b: what is predicted there: a token, or the set of those that may come next.
    """

    tokens: tuple[str, ...]
    offset: int
    index: int
    a: str | frozenset[str]
    b: str | frozenset[str]


@dataclass(frozen=True)
class Compared:
    """Inputs of one kind, and on how many of them two programs predict alike.

    Attributes:
        kind: "all" inputs of up to `longest` tokens, "random" ones, or those of the "task".
        inputs, alike: how many there were, and on how many the predictions are the same at every position that counts.
        longest: how many tokens the longest of them has.
        shortest: the shortest input found that shows a difference; None where all are alike.
    """

    kind: str
    inputs: int
    alike: int
    longest: int
    shortest: Shown | None


class Pair:
    """Two programs that are run on the same inputs, given by the token ids of A."""

    def __init__(self, a: Program, b: Program, ground: Ground) -> None:
        self.a, self.b, self.ground = a, b, ground
        self._ids = ground.places(b.header.built_in["token"], b.header)
        self._outputs = ground.places(b.header.output, b.header)
        bases = [program.bases[name].size for program in (a, b) for name in program.bases if name not in BUILT_IN]
        self._width = sum(bases) + len(a.header.predicted) * (len(a.statements) + len(b.statements))
        self._heads = sum(isinstance(statement, Select) for program in (a, b) for statement in program.statements)

    @property
    def longest(self) -> int:
        """How many tokens an input may have."""
        return max(1, min(LONGEST, self.ground.positions, int(MOST_WORK / LENGTHS // self._width)))

    def work(self, length: int) -> int:
        """About how many numbers are worked out for an input."""
        return length * (self._width + length * (self._heads + 1))

    def compare(self, kind: str, batches: Iterator[Sample]) -> Compared:
        """Runs both on batches of inputs that have one length each."""
        inputs, alike, longest = 0, 0, 0
        found: list[tuple[int, int, Shown]] = []
        for batch in batches:
            length = batch.token_ids.shape[1]
            rows = max(1, CHUNK // self.work(length))
            for start in range(0, len(batch.token_ids), rows):
                part = Sample(*(array[start : start + rows] for array in batch))
                differs, shown = self._differing(part)
                inputs, alike, longest = inputs + len(differs), alike + int((~differs).sum()), max(longest, length)
                found += [(len(shown.tokens), shown.offset, shown)] if shown else []
        shortest = min(found, key=lambda its: its[:2])[2] if found else None
        return Compared(kind, inputs, alike, longest, shortest)

    def _differing(self, part: Sample) -> tuple[Array, Shown | None]:
        """Which inputs show a difference, and the shortest of these."""
        with np.errstate(all="ignore"):
            a = logits(self.a, part.token_ids, part.position_ids, scored=part.scored)
            b = logits(self.b, self._ids[part.token_ids], part.position_ids, scored=part.scored)[:, self._outputs]
        rows, places = np.nonzero(part.scored)
        wrong = np.flatnonzero(unlike(a, b, self.a.header.predict == "next-token"))
        differs = np.bincount(rows[wrong], minlength=len(part.scored)) > 0
        if not len(wrong):
            return differs, None
        first = min(wrong, key=lambda at: (places[at], part.position_ids[rows[at], 0]))
        row, place = rows[first], int(places[first])
        end = part.token_ids.shape[1] if self.a.header.bidirectional or self.b.header.bidirectional else place + 1
        tokens = tuple(self.a.header.vocabulary[token] for token in part.token_ids[row, :end])
        said = (self._said(its[first]) for its in (a, b))
        return differs, Shown(tokens, int(part.position_ids[row, 0]), place, *said)

    def _said(self, row: Array) -> str | frozenset[str]:
        names = self.ground.outputs
        if self.a.header.predict == "next-token":
            return names[int(row.argmax())]
        return frozenset(name for name, value in zip(names, row, strict=True) if value > 0)


def unlike(a: Array, b: Array, one: bool) -> Array:
    """Where logits (places, outputs) predict different things; a tie in both is none.

    Args:
        one: whether the largest logit is predicted, else all that are positive.
    """
    close = TIE * (1 + np.maximum(np.abs(a), np.abs(b)))
    if not one:
        found: Array = (((a > 0) != (b > 0)) & ((np.abs(a) > close) | (np.abs(b) > close))).any(1)
        return found
    at, first, second = np.arange(len(a)), a.argmax(1), b.argmax(1)
    clear = (a[at, first] - a[at, second] > close[at, first]) | (b[at, second] - b[at, first] > close[at, second])
    return (first != second) & clear


def short_inputs(pair: Pair) -> Iterator[Sample]:
    """All strings of symbols in order of length, from position 0 on, behind `<bos>` where there is such a token."""
    symbols, front = _symbols(pair), _front(pair)
    left, work, size = MOST_SHORT, MOST_WORK, 1 - len(front)
    while size + len(front) <= pair.longest:
        count = len(symbols) ** size
        length = size + len(front)
        left, work = left - count, work - count * pair.work(length)
        if left < 0 or (work < 0 and size > 1 - len(front)):
            return
        places = np.arange(count)[:, None] // len(symbols) ** np.arange(size)[::-1] % len(symbols)
        yield _batch(np.hstack([np.tile(front, (count, 1)), symbols[places]]), np.zeros(count, dtype=int))
        size += 1


def random_inputs(pair: Pair) -> Iterator[Sample]:
    """Strings of lengths that are spread evenly; in half of them any tokens but padding, half of them from position 0 on."""
    rng, positions = np.random.default_rng(0), pair.ground.positions
    front, symbols, tokens = _front(pair), _symbols(pair), _tokens(pair)
    lengths = np.unique(np.linspace(1 + len(front), pair.longest, LENGTHS).astype(int))
    for length in lengths[lengths <= pair.longest]:
        count = int(min(RANDOM // len(lengths), max(1, MOST_WORK // (len(lengths) * pair.work(length)))))
        drawn = np.hstack([np.tile(front, (count, 1)), rng.choice(symbols, (count, length - len(front)))])
        drawn[::2, len(front) :] = rng.choice(tokens, drawn[::2, len(front) :].shape)
        offsets = rng.integers(0, positions - length, count, endpoint=True)
        yield _batch(drawn, np.where(np.arange(count) % 4 < 2, offsets, 0))


def task_inputs(pair: Pair, task: Task) -> Iterator[Sample]:
    """The task's sequences as far as they fit, each cut behind what its scored predictions depend on."""
    sample = checked_sample(task, np.random.default_rng(0), TASK_SEQUENCES, USUAL_LENGTHS)
    ids = np.array([pair.a.header.vocabulary.index(token) for token in task.vocabulary])
    reach = sample.reach(pair.a.header.bidirectional or pair.b.header.bidirectional)
    fits = np.flatnonzero(sample.position_ids.max(1) < pair.ground.positions)
    kept = fits[: max(1, int(MOST_WORK // pair.work(int(reach.max()))))]
    for length in np.unique(reach[kept]):
        part = Sample(*(array[kept[reach[kept] == length], :length] for array in sample))
        yield part._replace(token_ids=ids[part.token_ids])


def _batch(token_ids: Array, offsets: Array) -> Sample:
    """Inputs whose predictions count at every position."""
    return Sample(token_ids, offsets[:, None] + np.arange(token_ids.shape[1]), np.ones(token_ids.shape, dtype=bool))


def _tokens(pair: Pair) -> Array:
    """All tokens but padding."""
    header = pair.a.header
    padding = {"<pad>", header.pad, pair.b.header.pad}
    return np.array([i for i, token in enumerate(header.vocabulary) if token not in padding] or [0])


def _symbols(pair: Pair) -> Array:
    """The tokens that are neither special nor padding; all of them where there are none."""
    found = np.intersect1d(pair.a.header.symbols, _tokens(pair))
    return found if len(found) else _tokens(pair)


def _front(pair: Pair) -> Array:
    vocabulary = pair.a.header.vocabulary
    return np.array([vocabulary.index("<bos>")] if "<bos>" in vocabulary else [], dtype=int)


def compared(a: Program, b: Program, ground: Ground, task: Task | None) -> Sequence[Compared]:
    """Both programs on inputs of every kind that there is."""
    pair = Pair(a, b, ground)
    kinds = {"all": short_inputs(pair), "random": random_inputs(pair)}
    if task is not None:
        kinds["task"] = task_inputs(pair, task)
    found = [pair.compare(kind, batches) for kind, batches in kinds.items()]
    return [its for its in found if its.inputs]
