"""Notions: what a token of a sequence can be, as a person would say it: "the token before", "the smallest that is larger"."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drasp.ir.labels import is_special
from drasp.ir.nodes import Bilinear, Select
from drasp.ir.operators import Dense
from drasp.ir.primitives.logic import And, Not, Or
from drasp.ir.primitives.nearest import Nearest
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.program import Program
from drasp.view.words.scene import Array, Scene
from drasp.view.words.wording import NONE, Wording


class Notion(ABC):
    """A token for each position."""

    @abstractmethod
    def text(self, words: Wording) -> str:
        """What it is called."""

    @abstractmethod
    def values(self, scene: Scene) -> Array:
        """(batch, time) ids of tokens, NONE where there is none such."""

    def agrees(self, scene: Scene, ids: Array) -> Array:
        """Whether tokens (batch, time) are that."""
        return self.values(scene) == ids


@dataclass(frozen=True)
class Current(Notion):
    def text(self, words: Wording) -> str:
        return "this token"

    def values(self, scene: Scene) -> Array:
        return scene.token_ids


@dataclass(frozen=True)
class Fixed(Notion):
    """Always the same token."""

    token: int

    def text(self, words: Wording) -> str:
        return words.output(self.token)

    def values(self, scene: Scene) -> Array:
        return np.full_like(scene.token_ids, self.token)


@dataclass(frozen=True)
class Back(Notion):
    """The token so many positions before."""

    steps: int

    def text(self, words: Wording) -> str:
        return "the token before" if self.steps == 1 else f"the token {self.steps} before"

    def values(self, scene: Scene) -> Array:
        found = np.full_like(scene.token_ids, NONE)
        found[:, self.steps :] = scene.token_ids[:, : -self.steps]
        return found


@dataclass(frozen=True)
class LastBut(Notion):
    """The last symbol, this one included, that is not a certain one; special tokens are no symbols."""

    token: int

    def text(self, words: Wording) -> str:
        return f"the last symbol that is not {words.token(self.token)}"

    def values(self, scene: Scene) -> Array:
        counts = np.isin(scene.token_ids, scene.program.header.symbols) & (scene.token_ids != self.token)
        places = np.maximum.accumulate(np.where(counts, np.arange(counts.shape[1]), -1), axis=1)
        found = np.take_along_axis(scene.token_ids, np.maximum(places, 0), 1)
        return np.where(places < 0, NONE, found)


@dataclass(frozen=True)
class Nearby(Notion):
    """By the order: the smallest token so far that is larger than this one, or the largest that is smaller."""

    larger: bool

    def text(self, words: Wording) -> str:
        return "the smallest token so far that is larger" if self.larger else "the largest token so far that is smaller"

    def values(self, scene: Scene) -> Array:
        ranks = ranked(scene.program)
        mine = ranks[scene.token_ids][..., None]  # nothing is larger or smaller than what has no place
        beyond = (ranks > mine) if self.larger else (ranks < mine)
        return _first(scene, beyond, ranks if self.larger else -ranks)


@dataclass(frozen=True)
class Extreme(Notion):
    """The smallest token so far, or the largest."""

    smallest: bool

    def text(self, words: Wording) -> str:
        return f"the {'smallest' if self.smallest else 'largest'} token so far"

    def values(self, scene: Scene) -> Array:
        ranks = ranked(scene.program)
        return _first(scene, ~np.isnan(ranks), ranks if self.smallest else -ranks)


@dataclass(frozen=True)
class Commonest(Notion):
    """One of the commonest symbols so far."""

    def text(self, words: Wording) -> str:
        return "the commonest symbol so far"

    def _symbols(self, scene: Scene) -> Array:
        return np.isin(np.arange(scene.counts.shape[-1]), scene.program.header.symbols)

    def values(self, scene: Scene) -> Array:
        counts = np.where(self._symbols(scene), scene.counts, 0)
        return np.where(counts.max(-1) > 0, counts.argmax(-1), NONE)

    def agrees(self, scene: Scene, ids: Array) -> Array:
        counts = np.where(self._symbols(scene), scene.counts, 0)
        return np.take_along_axis(counts, ids[..., None], -1)[..., 0] == counts.max(-1)


@dataclass(frozen=True)
class Following(Notion):
    """By the order: the token after this one."""

    def text(self, words: Wording) -> str:
        return "the next larger one after this token"

    def values(self, scene: Scene) -> Array:
        ranks = ranked(scene.program)
        after = np.full(len(ranks), NONE)
        for token in np.flatnonzero(~np.isnan(ranks)):
            after[token] = next(iter(np.flatnonzero(ranks == ranks[token] + 1)), NONE)
        return after[scene.token_ids]


@dataclass(frozen=True)
class First(Notion):
    """The first token behind `<bos>`; of a sequence without that, the first."""

    def text(self, words: Wording) -> str:
        return "the first token"

    def values(self, scene: Scene) -> Array:
        vocabulary = scene.program.header.vocabulary
        begun = "<bos>" in vocabulary and (scene.token_ids[:, 0] == vocabulary.index("<bos>")).all()
        found = np.repeat(scene.token_ids[:, int(begun), None], scene.token_ids.shape[1], 1)
        found[:, : int(begun)] = NONE
        return found


@dataclass(frozen=True)
class Before(Notion):
    """The token before the first of a kind."""

    token: int

    def text(self, words: Wording) -> str:
        return f"the one before {words.token(self.token)}"

    def values(self, scene: Scene) -> Array:
        is_it = scene.token_ids == self.token
        place = np.maximum(is_it.argmax(1) - 1, 0)
        found = np.broadcast_to(scene.token_ids[np.arange(len(place)), place][:, None], is_it.shape)
        return np.where(np.logical_or.accumulate(is_it, axis=1) & ~is_it[:, :1], found, NONE)


@dataclass(frozen=True)
class AfterSame(Notion):
    """What came after this token where it stood for the first time, or before it there."""

    after: bool

    def text(self, words: Wording) -> str:
        return f"the token that came {'after' if self.after else 'before'} this one where it stood first"

    def values(self, scene: Scene) -> Array:
        tokens = scene.token_ids
        found, rows = np.full_like(tokens, NONE), np.arange(len(tokens))
        beside = np.full((len(tokens), len(scene.program.header.vocabulary)), NONE)
        for time in range(1, tokens.shape[1]):
            key, value = (tokens[:, time - 1], tokens[:, time]) if self.after else (tokens[:, time], tokens[:, time - 1])
            new = beside[rows, key] == NONE
            beside[rows[new], key[new]] = value[new]
            found[:, time] = beside[rows, tokens[:, time]]
        return found


@dataclass(frozen=True)
class PlaceBack(Notion):
    """The position so many before this one; of positions, not of tokens."""

    steps: int

    def text(self, words: Wording) -> str:
        if self.steps < 2:
            return "the position before" if self.steps else "this position"
        return f"the position {self.steps} before"

    def values(self, scene: Scene) -> Array:
        there = np.arange(scene.token_ids.shape[1]) >= self.steps
        return np.where(there, scene.position_ids - self.steps, NONE)


@dataclass(frozen=True)
class PlaceOf(Notion):
    """The position at which a token stands first."""

    token: int

    def text(self, words: Wording) -> str:
        return f"the position of {words.token(self.token)}"

    def values(self, scene: Scene) -> Array:
        is_it = scene.token_ids == self.token
        place = np.take_along_axis(scene.position_ids, is_it.argmax(1)[:, None], 1)
        return np.where(np.logical_or.accumulate(is_it, axis=1), place, NONE)


def places(program: Program) -> Iterator[Notion]:
    """What a variable of positions may hold."""
    yield from (PlaceBack(steps) for steps in range(3))
    yield from (PlaceOf(token) for token, name in enumerate(program.header.vocabulary) if is_special(name))


def ranked(program: Program) -> Array:
    """The place of each token in the order, NaN where it has none; without an order no token has one."""
    header = program.header
    if header.order is None:
        return np.full(len(header.vocabulary), np.nan)
    return header.axis(header.built_in["token"]).ranks


def _first(scene: Scene, among: Array, ranks: Array) -> Array:
    """Of the tokens so far and among those, the one with the lowest rank."""
    keys = np.where((scene.counts > 0) & among, ranks, np.inf)
    return np.where(np.isfinite(keys).any(-1), keys.argmin(-1), NONE)


FEW = 6
"""Symbols, where each can be in a notion of its own."""


def notions(program: Program) -> Iterator[Notion]:
    """Those that a program may compute, the simplest first."""
    found = list(primitives(program))
    yield Back(1)
    yield Back(2)
    symbols = [int(symbol) for symbol in program.header.symbols]
    if len(symbols) <= FEW:
        yield from (LastBut(symbol) for symbol in symbols)
    if any(isinstance(statement, Select) for statement in program.statements):
        yield AfterSame(after=True)
        yield AfterSame(after=False)
    if any(isinstance(primitive, Nearest) for primitive in found) or program.header.order is not None:
        yield Nearby(larger=True)
        yield Nearby(larger=False)
        yield Extreme(smallest=True)
        yield Extreme(smallest=False)
        yield Following()
    yield First()
    yield Commonest()


def primitives(program: Program) -> Iterator[Primitive]:
    """Those of all operators."""
    for statement in program.statements:
        if isinstance(statement, Bilinear) and not isinstance(statement.op, Dense):
            for term in statement.op.all_terms:
                yield from _with_parts(term.primitive)


def _with_parts(primitive: Primitive) -> Iterator[Primitive]:
    yield primitive
    if isinstance(primitive, And | Or):
        for part in primitive.parts:
            yield from _with_parts(part)
    elif isinstance(primitive, Not | Nearest):
        yield from _with_parts(primitive.predicate)
