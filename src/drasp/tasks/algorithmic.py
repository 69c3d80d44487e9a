"""Algorithmic tasks: what stands between `<bos>` and `<sep>` is read, what comes behind `<sep>` is the answer."""

import string
from collections.abc import Callable

import numpy as np

from drasp.tasks.protocol import Sample
from drasp.tasks.sampling import LONGEST, SuiteTask, cut, fill, join, shuffled

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]
Reply = Callable[[np.ndarray], np.ndarray]
Valid = Callable[[np.ndarray], np.ndarray]

NUMBERS = tuple(str(i) for i in range(LONGEST))
BIGRAM_SYMBOLS = 16


class Algorithm(SuiteTask):
    """Sequences `<bos>`, the part to be read, `<sep>`, the reply and, if `closed`, `<eos>`; scored from `<sep>` to the last token but one.

    Attributes:
        draw: (rng, lengths) -> ragged symbol ids, a part to be read for each length.
        reply: (ragged parts) -> ragged replies.
        valid: (parts of one length) -> which of them can be drawn; None where they are not listed.
    """

    def __init__(
        self,
        name: str,
        description: str,
        symbols: tuple[str, ...],
        valid_lengths: range,
        positions: int,
        draw: Draw,
        reply: Reply,
        closed: bool = True,
        valid: Valid | None = None,
    ):
        super().__init__(name, description, symbols, valid_lengths, positions, "next-token")
        self.order = NUMBERS if symbols == NUMBERS else None
        self.draw, self.reply, self.valid = draw, reply, valid
        self._end = np.array([[self.eos if closed else -1]])

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """(batch, time) ids: from `<sep>` on the right reply to what stands before it, whatever follows in `token_ids`."""
        is_sep = token_ids == self.sep
        prompt = np.where(is_sep.cumsum(1) - is_sep > 0, -1, token_ids)
        right = join(prompt, self.reply(join(np.where(prompt < self.symbols, prompt, -1))), self._end)
        following = right[:, 1 : token_ids.shape[1] + 1]
        answers = np.full_like(token_ids, self.pad)
        answers[:, : following.shape[1]] = np.where(following < 0, self.pad, following)
        return answers

    def every(self, length: int, most: int) -> Sample | None:
        """See `SuiteTask`."""
        if self.valid is None or self.symbols**length > most:
            return None
        part = np.indices((self.symbols,) * length).reshape(length, self.symbols**length).T
        part = part[self.valid(part)] if length in self.valid_lengths else part[:0]
        return self._as_sample(*self._whole(part), 0)

    def _sequences(self, rng: np.random.Generator, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._whole(self.draw(rng, lengths))

    def _whole(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ragged = join(np.array([[self.bos]]), part, np.array([[self.sep]]), self.reply(part), self._end)
        return ragged, (part >= 0).sum(1) + 1


def _untied_bits(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Bits in random order, the number of zeros uniform among those that are no tie."""
    zeros = rng.integers(0, lengths + lengths % 2)
    zeros += (lengths % 2 == 0) & (2 * zeros >= lengths)
    return shuffled(rng, np.stack([zeros, lengths - zeros], axis=1))


def _draw_interleaved(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Three strings of untied bits, their first bits, then their second bits, and so on."""
    return np.stack([_untied_bits(rng, lengths // 3) for _ in range(3)], axis=2).reshape(len(lengths), -1)


def _draw_parity(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Bits in random order, the number of ones uniform."""
    ones = rng.integers(0, lengths, endpoint=True)
    return shuffled(rng, np.stack([lengths - ones, ones], axis=1))


def _draw_majority(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Independent letters, all drawn again until the most frequent is unique."""
    letters = np.full((len(lengths), lengths.max(initial=0)), -1)
    tied = np.arange(len(lengths))
    while tied.size:
        drawn = cut(rng.integers(0, 26, (tied.size, letters.shape[1])), lengths[tied])
        letters[tied, : drawn.shape[1]] = drawn
        counts = np.sort(_letter_counts(drawn), axis=1)
        tied = tied[counts[:, -1] == counts[:, -2]]
    return letters


def _draw_distinct(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Distinct numbers in random order."""
    return cut(rng.random((len(lengths), LONGEST)).argsort(1), lengths)


def _draw_bigrams(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """No bigram twice: up to 16 independent tokens, drawn again while a bigram repeats; then a token with the most continuations left."""
    rows, start = np.arange(len(lengths)), np.minimum(lengths, BIGRAM_SYMBOLS)
    tokens = np.zeros((len(lengths), max(lengths.max(initial=0), BIGRAM_SYMBOLS)), dtype=int)
    again = rows
    while again.size:
        drawn = tokens[again, :BIGRAM_SYMBOLS] = rng.integers(0, BIGRAM_SYMBOLS, (again.size, BIGRAM_SYMBOLS))
        bigrams = BIGRAM_SYMBOLS * drawn[:, :-1] + drawn[:, 1:]
        place = np.arange(bigrams.shape[1])
        bigrams = np.sort(np.where(place < start[again, None] - 1, bigrams, -1 - place), axis=1)
        again = again[(np.diff(bigrams) == 0).any(1)]
    used = np.zeros((len(lengths), BIGRAM_SYMBOLS, BIGRAM_SYMBOLS), dtype=bool)
    for t in range(1, tokens.shape[1]):
        if t >= BIGRAM_SYMBOLS:
            likings = BIGRAM_SYMBOLS - used.sum(2) + rng.random((len(lengths), BIGRAM_SYMBOLS))  # the fraction breaks ties
            tokens[:, t] = np.where(used[rows, tokens[:, t - 1]], -1, likings).argmax(1)
        used[rows, tokens[:, t - 1], tokens[:, t]] = True
    return cut(tokens, lengths)


def _draw_ends(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """The first and the last number of a stretch of each length."""
    first = rng.integers(0, LONGEST - lengths, endpoint=True)
    return np.stack([first, first + lengths - 1], axis=1)


def _draw_sum(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Two binary numbers with a plus between them, the place of which is uniform; only a number of one digit may begin with 0."""
    plus = rng.integers(1, lengths - 2, endpoint=True)
    digits = rng.integers(0, 2, (len(lengths), lengths.max(initial=0)))
    rows = np.arange(len(lengths))
    digits[plus > 1, 0] = 1
    digits[rows, plus] = 2
    long = plus + 2 < lengths
    digits[rows[long], plus[long] + 1] = 1
    return cut(digits, lengths)


def _any(part: np.ndarray) -> np.ndarray:
    return np.ones(len(part), dtype=bool)


def _distinct(part: np.ndarray) -> np.ndarray:
    return np.asarray((np.diff(np.sort(part, axis=1)) > 0).all(1))


def _untied(part: np.ndarray) -> np.ndarray:
    """Whether the commonest symbol is unique."""
    counts = np.sort(_letter_counts(part), axis=1)
    return counts[:, -1] > counts[:, -2]


def _letter_counts(part: np.ndarray) -> np.ndarray:
    """(rows, 26): how often each letter occurs."""
    letter = part + 26 * np.arange(len(part))[:, None]
    return np.bincount(letter[part >= 0], minlength=26 * len(part)).reshape(len(part), 26)


def _majority_bit(part: np.ndarray) -> np.ndarray:
    return ((part == 1).sum(1) > (part == 0).sum(1)).astype(int)[:, None]


def _add(part: np.ndarray) -> np.ndarray:
    """The sums, most significant digit first, in exact arithmetic. Raises ValueError if a row is not two binary numbers and a plus."""
    sums = []
    for row in (part + ord("0")).astype(np.uint8):
        first, second = row.tobytes().rstrip(b"/").split(b"2")  # "/" stands for -1, "2" for the plus
        sums.append(f"{int(first, 2) + int(second, 2):b}".encode())
    return fill(np.frombuffer(b"".join(sums), dtype=np.uint8) - np.uint8(ord("0")), np.array([len(digits) for digits in sums]))


def _stretch(part: np.ndarray) -> np.ndarray:
    """All numbers from the first to the last."""
    return cut(part[:, :1] + np.arange(LONGEST), part[:, 1] - part[:, 0] + 1)


ALGORITHMS = (
    Algorithm(
        "bin_majority",
        "the commoner bit",
        tuple("01"),
        range(1, LONGEST + 1),
        LONGEST + 4,
        draw=_untied_bits,
        reply=_majority_bit,
        closed=False,
        valid=_untied,
    ),
    Algorithm(
        "majority",
        "the most frequent letter",
        tuple(string.ascii_lowercase),
        range(1, LONGEST + 1),
        LONGEST + 4,
        draw=_draw_majority,
        reply=lambda part: _letter_counts(part).argmax(1)[:, None],
        closed=False,
        valid=_untied,
    ),
    Algorithm(
        "bin_majority_interleave",
        "the commoner bits of three interleaved strings of bits",
        tuple("01"),
        range(3, LONGEST + 1, 3),
        LONGEST + 6,
        draw=_draw_interleaved,
        reply=lambda part: np.concatenate([_majority_bit(part[:, i::3]) for i in range(3)], axis=1),
        valid=lambda part: np.all([_untied(part[:, i::3]) for i in range(3)], axis=0),
    ),
    Algorithm(
        "unique_copy",
        "the same numbers again, no number twice",
        NUMBERS,
        range(1, LONGEST + 1),
        2 * LONGEST + 3,
        draw=_draw_distinct,
        reply=lambda part: part,
        valid=_distinct,
    ),
    Algorithm(
        "unique_reverse",
        "the same numbers backwards, no number twice",
        NUMBERS,
        range(1, LONGEST + 1),
        2 * LONGEST + 3,
        draw=_draw_distinct,
        reply=lambda part: join(part[:, ::-1]),
        valid=_distinct,
    ),
    Algorithm(
        "sort",
        "the same numbers in ascending order, no number twice",
        NUMBERS,
        range(1, LONGEST + 1),
        2 * LONGEST + 3,
        draw=_draw_distinct,
        reply=lambda part: join(np.sort(part, axis=1)),
        valid=_distinct,
    ),
    Algorithm(
        "unique_bigram_copy",
        "the same tokens again, no two neighbours twice",
        NUMBERS[:BIGRAM_SYMBOLS],
        range(1, LONGEST + 1),
        2 * LONGEST + 3,
        draw=_draw_bigrams,
        reply=lambda part: part,
        valid=lambda part: _distinct(BIGRAM_SYMBOLS * part[:, :-1] + part[:, 1:]),
    ),
    Algorithm(
        "repeat_copy",
        "the same letters again",
        tuple("ab"),
        range(1, LONGEST + 1),
        2 * LONGEST + 3,
        draw=lambda rng, lengths: cut(rng.integers(0, 2, (len(lengths), lengths.max(initial=0))), lengths),
        reply=lambda part: part,
        valid=_any,
    ),
    Algorithm(
        "count",
        "all numbers from the first to the last of two",
        NUMBERS,
        range(2, LONGEST + 1),
        LONGEST + 5,
        draw=_draw_ends,
        reply=_stretch,
    ),
    Algorithm(
        "parity",
        "1 if the number of ones is odd, else 0",
        tuple("01"),
        range(LONGEST + 1),
        LONGEST + 4,
        draw=_draw_parity,
        reply=lambda part: (part == 1).sum(1)[:, None] % 2,
        closed=False,
        valid=_any,
    ),
    Algorithm(
        "addition",
        "the sum of two binary numbers",
        tuple("01+"),
        range(4, LONGEST + 1),
        2 * LONGEST + 2,
        draw=_draw_sum,
        reply=_add,
    ),
)
