"""The automaton that a program is on all short sequences: prefixes with the same future are one state (Myhill and Nerode).

Hopcroft and Ullman, "Introduction to Automata Theory, Languages, and Computation", 1979, section 3.4. Of each state is known which symbols
may follow, and whether the sequence may end; a symbol that may not follow leads nowhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.ir.program import Header, Program
from drasp.run.numpy_fast import logits
from drasp.tasks.protocol import Task

Array = np.ndarray[Any, Any]
Allowed = Callable[[Array], Array]
"""Token ids (n, time) of prefixes to which outputs may follow each, booleans (n, outputs)."""
Prefix = tuple[int, ...]

MOST_PREFIXES = 3000
MOST_SYMBOLS = 8
MOST_STATES = 10
LONGEST = 14
BEGIN, END = "<bos>", "<eos>"


@dataclass(frozen=True)
class State:
    """A state.

    Attributes:
        ends: whether the sequence may end here.
        follow: of each symbol that may follow the state behind it, by its place in `Automaton.states`.
    """

    ends: bool
    follow: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Automaton:
    """A minimal automaton, its states in the order in which a walk in breadth finds them; the first is where a sequence begins.

    Attributes:
        length: of the longest prefixes on which it was checked, all of them, in symbols.
        prefixes: how many they were.
    """

    states: tuple[State, ...]
    length: int
    prefixes: int

    def same(self, other: "Automaton") -> bool:
        """Whether both accept the same sequences of any length: a minimal automaton is the only one, in this order."""
        return self.states == other.states


def automaton_of(program: Program) -> Automaton | None:
    """The automaton of a program that says which symbols may follow; None where it is none of few states, as of one that counts."""
    if not _fits(program.header):
        return None
    return _found(program.header, lambda ids: np.asarray(logits(program, ids)[:, -1] > 0))


def automaton_of_task(task: Task, header: Header) -> Automaton | None:
    """The same of a task, over the vocabulary of a program for it."""
    if not _fits(header) or task.vocabulary != header.vocabulary or task.predict != header.predict:
        return None
    return _found(header, lambda ids: np.asarray(task.answers(ids)[:, -1]))


def _fits(header: Header) -> bool:
    sets = header.predict == "next-token-set" and header.outputs is None and not header.bidirectional
    return sets and {BEGIN, END} <= set(header.vocabulary) and 0 < len(header.symbols) <= MOST_SYMBOLS


def _found(header: Header, allowed: Allowed) -> Automaton | None:
    begin, end = (header.vocabulary.index(token) for token in (BEGIN, END))
    symbols = header.symbols.tolist()
    said = _prefixes(header, allowed, begin, symbols)
    longest = max(map(len, said)) - 1
    ahead = longest // 2
    if ahead < 2:
        return None
    kept = [frozenset(np.flatnonzero(row).tolist()) & {end, *symbols} for row in said.values()]
    follows = dict(zip(said, kept, strict=True))
    futures = _futures(follows, symbols, ahead)
    first = futures[(begin,)]
    order, table = [first], {first: 0}
    by_future = {futures[prefix]: prefix for prefix in sorted(futures, key=len, reverse=True)}  # the shortest of each
    states: list[State] = []
    for future in order:
        prefix, edges = by_future[future], []
        for symbol in symbols:
            if symbol in follows[prefix]:
                reached = futures.get((*prefix, symbol))
                if reached is None or len(order) > MOST_STATES:
                    return None
                if reached not in table:
                    table[reached] = len(order)
                    order.append(reached)
                edges.append((symbol, table[reached]))
        states.append(State(end in follows[prefix], tuple((header.vocabulary[symbol], reached) for symbol, reached in edges)))
    found = Automaton(tuple(states), longest, len(said))
    return found if len(states) <= MOST_STATES and _agrees(found, header, follows, begin) else None


def _prefixes(header: Header, allowed: Allowed, begin: int, symbols: Sequence[int]) -> dict[Prefix, Array]:
    """All prefixes up to some length of which each symbol may follow those before it, with what may follow."""
    found: dict[Prefix, Array] = {}
    level: list[Prefix] = [(begin,)]
    while level and len(found) + len(level) <= MOST_PREFIXES and len(level[0]) <= min(LONGEST, header.positions - 1):
        rows = allowed(np.array(level))
        found.update(zip(level, rows, strict=True))
        level = [(*prefix, symbol) for prefix, row in zip(level, rows, strict=True) for symbol in symbols if row[symbol]]
    return found


def _futures(follows: dict[Prefix, frozenset[int]], symbols: Sequence[int], ahead: int) -> dict[Prefix, int]:
    """For the prefixes that are short enough a number: those with the same have the same future, so many symbols ahead."""
    longest = max(map(len, follows))
    numbers: dict[object, int] = {}
    now = {prefix: numbers.setdefault(kept, len(numbers)) for prefix, kept in follows.items()}
    for step in range(1, ahead + 1):
        deeper: dict[Prefix, int] = {}
        for prefix, kept in follows.items():
            if len(prefix) <= longest - step:
                behind = tuple(now[(*prefix, symbol)] for symbol in symbols if symbol in kept)
                deeper[prefix] = numbers.setdefault((step, kept, behind), len(numbers))
        now = deeper
    return now


def _agrees(found: Automaton, header: Header, follows: dict[Prefix, frozenset[int]], begin: int) -> bool:
    """Whether it says of every prefix what was said of it."""
    end, place = header.vocabulary.index(END), {token: i for i, token in enumerate(header.vocabulary)}
    steps = [{place[token]: reached for token, reached in state.follow} for state in found.states]
    said = [frozenset({*step, end} if state.ends else step) for step, state in zip(steps, found.states, strict=True)]
    at: dict[Prefix, int] = {(begin,): 0}
    for prefix, kept in follows.items():
        if len(prefix) > 1:
            at[prefix] = steps[at[prefix[:-1]]][prefix[-1]]
        if said[at[prefix]] != kept:
            return False
    return True
