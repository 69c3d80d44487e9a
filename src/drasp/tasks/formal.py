"""Formal languages: at every position the model predicts which symbols may come next, `<eos>` among them.

Each language has an automaton, which gives the answers, and a sampler of its own, which draws members without looking at the automaton.
State 0 is the start; a move that is not listed leads out of the language, and every listed state can still reach an accepting one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from drasp.tasks.protocol import Sample
from drasp.tasks.sampling import LONGEST, SuiteTask, cut, join, runs, shuffled

Moves = Sequence[dict[str, int]]
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


class Language(SuiteTask):
    """Sequences `<bos>`, a member of the language, `<eos>`; scored from `<bos>` up to but not including `<eos>`.

    Attributes:
        moves: for each state the state that each symbol leads to.
        accepting: the states in which a member may end.
        draw: (rng, lengths) -> ragged symbol ids, one member of each length.
    """

    def __init__(self, name: str, description: str, symbols: str, valid_lengths: range, moves: Moves, accepting: Sequence[int], draw: Draw):
        super().__init__(name, description, tuple(symbols), valid_lengths, LONGEST + 2, "next-token-set")
        self.moves, self.accepting, self.draw = moves, accepting, draw
        dead, before_bos = len(moves), len(moves) + 1
        self._next_state = np.full((len(moves) + 2, len(self.vocabulary)), dead)
        self._next_state[before_bos, self.bos] = 0
        self._allowed = np.zeros(self._next_state.shape, dtype=bool)
        self._allowed[list(accepting), self.eos] = True
        for state, targets in enumerate(moves):
            for symbol, target in targets.items():
                self._next_state[state, symbols.index(symbol)] = target
                self._allowed[state, symbols.index(symbol)] = True

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """(batch, time, vocabulary) booleans: what may come next, so that a member can still be reached; nothing where none can."""
        states = np.empty(token_ids.shape, dtype=int)
        state = np.full(len(token_ids), len(self.moves) + 1)
        for t in range(token_ids.shape[1]):
            state = states[:, t] = self._next_state[state, token_ids[:, t]]
        return self._allowed[states]

    def every(self, length: int, most: int) -> Sample | None:
        """See `SuiteTask`; the members are read off the automaton."""
        moves = self._next_state[:, : self.symbols]
        members = [np.isin(np.arange(len(moves)), self.accepting).astype(object)]  # after so many symbols more, how many from each state
        for _ in range(length):
            members.append(members[-1][moves].sum(1))
        if members[length][0] > most:
            return None
        words, states = np.zeros((int(length in self.valid_lengths), 0), dtype=int), np.zeros(int(length in self.valid_lengths), dtype=int)
        for left in range(length, 0, -1):
            rows, symbols = np.nonzero(members[left - 1][moves[states]] > 0)
            words, states = np.concatenate([words[rows], symbols[:, None]], axis=1), moves[states[rows], symbols]
        words = words[np.isin(states, self.accepting)]
        return self._as_sample(self._whole(words), np.zeros(len(words), dtype=int), 0)

    def _sequences(self, rng: np.random.Generator, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._whole(self.draw(rng, lengths)), 0 * lengths

    def _whole(self, words: np.ndarray) -> np.ndarray:
        return join(np.array([[self.bos]]), words, np.array([[self.eos]]))


def _repeated(name: str, word: str, symbols: str) -> Language:
    """The repetitions of one word."""
    ids = np.array([symbols.index(symbol) for symbol in word])
    return Language(
        name,
        f"({word})*: any number of times {word}" if len(word) > 1 else f"{word}*: any number of {word}",
        symbols,
        range(0, LONGEST + 1, len(word)),
        moves=[{symbol: (i + 1) % len(word)} for i, symbol in enumerate(word)],
        accepting=[0],
        draw=lambda rng, lengths: cut(np.resize(ids, LONGEST), lengths),
    )


def _dyck(depth: int) -> Language:
    """One pair of brackets, a and b, nested no deeper than `depth`. The state is the depth."""
    return Language(
        f"D{depth}",
        f"balanced brackets a and b, at most {depth} deep",
        "ab",
        range(0, LONGEST + 1, 2),
        moves=[{s: d for s, d in (("a", now + 1), ("b", now - 1)) if 0 <= d <= depth} for now in range(depth + 1)],
        accepting=[0],
        draw=lambda rng, lengths: _draw_dyck(rng, lengths, depth),
    )


def _draw_dyck(rng: np.random.Generator, lengths: np.ndarray, most: int) -> np.ndarray:
    """Climbs and falls in turn, each of uniform size, until what is left is just enough to close all brackets."""
    left, depth = lengths.copy(), np.zeros_like(lengths)
    sizes = []
    while (open_ended := left > depth).any():
        climb = open_ended * rng.integers(1, np.where(open_ended, np.minimum(most - depth, (left - depth) // 2), 1), endpoint=True)
        left, depth = left - climb, depth + climb
        fall = (left > depth) * rng.integers(1, np.maximum(depth, 1), endpoint=True)
        left, depth = left - fall, depth - fall
        sizes += [climb, fall]
    return runs(np.arange(len(sizes) + 2) % 2, np.stack([*sizes, 0 * depth, depth], axis=1))


def _draw_tomita3(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Stretches of a random bit, short ones likelier; after an odd run of ones the zeros come in even stretches."""
    left = lengths.copy()
    odd, last = np.zeros(len(left), dtype=bool), np.ones(len(left), dtype=int)  # is the latest run of ones odd; the latest bit
    bits, sizes = [last], [0 * left]
    while left.any():
        bit = rng.integers(0, 2, len(left))
        bit[odd & (left == 1)] = 1
        size = _falling(rng, left)
        while (redrawn := (bit == 0) & odd & (size % 2 == 1)).any():
            size[redrawn] = _falling(rng, left[redrawn])
        odd = np.where(bit == 1, (size % 2 == 1) ^ (odd & (last == 1)), odd)
        last = np.where(size > 0, bit, last)
        left -= size
        bits.append(bit)
        sizes.append(size)
    return runs(np.stack(bits, axis=1), np.stack(sizes, axis=1))


def _falling(rng: np.random.Generator, most: np.ndarray) -> np.ndarray:
    """For each row one of 1, 2, ..., most with weights most, ..., 2, 1: the lesser of two different ones of 1, ..., most + 1. Of 0, 0."""
    first, second = rng.integers(1, most + 1, endpoint=True), rng.integers(1, np.maximum(most, 1), endpoint=True)
    return np.minimum(np.minimum(first, second + (second >= first)), most)


def _draw_tomita4(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Coin flips; what would be a third zero in a row is a one."""
    bits = rng.integers(0, 2, (len(lengths), lengths.max(initial=0)))
    for t in range(2, bits.shape[1]):
        bits[:, t] |= (bits[:, t - 1] == 0) & (bits[:, t - 2] == 0)
    return cut(bits, lengths)


def _draw_tomita5(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """The number of zeros uniform among the even ones."""
    zeros = 2 * rng.integers(0, lengths // 2, endpoint=True)
    return shuffled(rng, np.stack([zeros, lengths - zeros], axis=1))


def _draw_tomita6(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """The number of zeros uniform among those that leave zeros - ones divisible by 3."""
    least = 2 * lengths % 3
    zeros = least + 3 * rng.integers(0, (lengths - least) // 3, endpoint=True)
    return shuffled(rng, np.stack([zeros, lengths - zeros], axis=1))


def _split(rng: np.random.Generator, total: np.ndarray, parts: int) -> np.ndarray:
    """(rows, parts) sizes that add up to `total`: drawn one after another, each uniform in what is left, then shuffled."""
    sizes, left = [], total
    for _ in range(parts - 1):
        sizes.append(rng.integers(0, left, endpoint=True))
        left = left - sizes[-1]
    return rng.permuted(np.stack([*sizes, left], axis=1), axis=1)


def _draw_ab_d_bc(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """The length before d uniform, the number of a there uniform, the number of b behind it uniform."""
    before = rng.integers(0, lengths)
    after = lengths - 1 - before
    a, b, none = rng.integers(0, before, endpoint=True), rng.integers(0, after, endpoint=True), 0 * lengths
    head, tail = shuffled(rng, np.stack([a, before - a], axis=1)), shuffled(rng, np.stack([none, b, after - b], axis=1))
    return join(head, np.array([[3]]), tail)


def _draw_012_0_2(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """The length of the first part uniform, its letters independent."""
    first = rng.integers(0, lengths)
    letters = rng.integers(0, 3, (len(lengths), lengths.max(initial=0)))
    return join(cut(letters, first), np.array([[0]]), runs(np.array([2]), (lengths - 1 - first)[:, None]))


LANGUAGES = (
    *(_dyck(depth) for depth in (2, 3, 4, 12)),
    _repeated("tomita1", "1", "01"),
    _repeated("tomita2", "10", "01"),
    Language(
        "tomita3",
        "no odd run of ones directly followed by an odd run of zeros",
        "01",
        range(LONGEST + 1),
        moves=[{"0": 0, "1": 1}, {"0": 2, "1": 0}, {"0": 3}, {"0": 2, "1": 1}],  # 1: odd ones; 2, 3: odd and even zeros behind them
        accepting=[0, 1, 3],
        draw=_draw_tomita3,
    ),
    Language(
        "tomita4",
        "no three zeros in a row",
        "01",
        range(LONGEST + 1),
        moves=[{"0": 1, "1": 0}, {"0": 2, "1": 0}, {"1": 0}],
        accepting=[0, 1, 2],
        draw=_draw_tomita4,
    ),
    Language(
        "tomita5",
        "an even number of zeros and an even number of ones",
        "01",
        range(0, LONGEST + 1, 2),
        moves=[{"0": 1, "1": 2}, {"0": 0, "1": 3}, {"0": 3, "1": 0}, {"0": 2, "1": 1}],
        accepting=[0],
        draw=_draw_tomita5,
    ),
    Language(
        "tomita6",
        "the number of zeros minus the number of ones is divisible by 3; only odd lengths are drawn",
        "01",
        range(3, LONGEST + 1, 2),
        moves=[{"0": 1, "1": 2}, {"0": 2, "1": 0}, {"0": 0, "1": 1}],
        accepting=[0],
        draw=_draw_tomita6,
    ),
    Language(
        "tomita7",
        "0*1*0*1*: four blocks, any of them empty",
        "01",
        range(LONGEST + 1),
        moves=[{"0": 0, "1": 1}, {"0": 2, "1": 1}, {"0": 2, "1": 3}, {"1": 3}],
        accepting=[0, 1, 2, 3],
        draw=lambda rng, lengths: runs(np.array([0, 1, 0, 1]), _split(rng, lengths, 4)),
    ),
    _repeated("aastar", "aa", "a"),
    _repeated("aaaastar", "aaaa", "a"),
    _repeated("ababstar", "abab", "ab"),
    Language(
        "abcde",
        "a+b+c+d+e+: one or more a, then b, c, d and e likewise",
        "abcde",
        range(5, LONGEST + 1),
        moves=[{"a": 1}, {"a": 1, "b": 2}, {"b": 2, "c": 3}, {"c": 3, "d": 4}, {"d": 4, "e": 5}, {"e": 5}],
        accepting=[5],
        draw=lambda rng, lengths: runs(np.arange(5), 1 + _split(rng, lengths - 5, 5)),
    ),
    Language(
        "ab_d_bc",
        "{a,b}*d{b,c}*: any a and b, one d, any b and c",
        "abcd",
        range(1, LONGEST + 1),
        moves=[{"a": 0, "b": 0, "d": 1}, {"b": 1, "c": 1}],
        accepting=[1],
        draw=_draw_ab_d_bc,
    ),
    Language(
        "012_0_2",
        "{0,1,2}*02*: behind the last symbol other than 2 only 2, and it is a 0",
        "012",
        range(1, LONGEST + 1),
        moves=[{"0": 1, "1": 0, "2": 0}, {"0": 1, "1": 0, "2": 1}],
        accepting=[1],
        draw=_draw_012_0_2,
    ),
)
