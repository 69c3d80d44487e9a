"""Conditions: what holds at a position or not, in terms of tokens and how many of them there are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drasp.view.words.notions import Current, Notion
from drasp.view.words.scene import Array, Scene
from drasp.view.words.wording import NONE, Coefficients, Wording


class Condition(ABC):
    """What holds at a position or not."""

    @abstractmethod
    def text(self, words: Wording) -> str:
        """As a clause: "d is at most 1"."""

    @abstractmethod
    def holds(self, scene: Scene) -> Array:
        """(batch, time) booleans."""


@dataclass(frozen=True)
class Constant(Condition):
    value: bool

    def text(self, words: Wording) -> str:
        return "always" if self.value else "never"

    def holds(self, scene: Scene) -> Array:
        return np.full(scene.token_ids.shape, self.value)


@dataclass(frozen=True)
class Is(Condition):
    """A notion is one of some tokens."""

    notion: Notion
    tokens: tuple[int, ...]

    def text(self, words: Wording) -> str:
        named = [token for token in self.tokens if token != NONE]
        missing = ["there is none"] if NONE in self.tokens else []
        said = [f"{self.notion.text(words)} is {words.any_of(named)}"] if named else []
        return ", or ".join(said + missing) if said else f"there is no such token as {self.notion.text(words)}"

    def holds(self, scene: Scene) -> Array:
        return np.isin(self.notion.values(scene), self.tokens)


@dataclass(frozen=True)
class Same(Condition):
    """This token is that of a notion."""

    notion: Notion

    def text(self, words: Wording) -> str:
        return f"this token is {self.notion.text(words)}"

    def holds(self, scene: Scene) -> Array:
        return self.notion.values(scene) == scene.token_ids


@dataclass(frozen=True)
class Tally(Condition):
    """A sum of counts, each times a whole number, is at most or at least a number."""

    coefficients: Coefficients
    relation: Literal["at most", "at least", "exactly"]
    number: int

    def text(self, words: Wording) -> str:
        if len(self.coefficients) == 1 and self.coefficients[0][1] == 1:
            token = words.token(self.coefficients[0][0])
            if (self.relation, self.number) == ("at most", 0):
                return f"no {token} has come yet"
            if (self.relation, self.number) == ("at least", 1):
                return f"a {token} has come"
        end = words.ranges.get(self.coefficients, {}).get(self.relation)
        relation = "" if end == self.number or self.relation == "exactly" else f"{self.relation} "
        return f"{words.tally(self.coefficients)} is {relation}{self.number}"

    def holds(self, scene: Scene) -> Array:
        return self.met_by(tally(scene, self.coefficients))

    def met_by(self, total: Array) -> Array:
        """Whether sums of counts stand to the number as said."""
        if self.relation == "exactly":
            return total == self.number
        return total <= self.number if self.relation == "at most" else total >= self.number


def tally(scene: Scene, coefficients: Coefficients) -> Array:
    """The sum of counts, (batch, time)."""
    total = np.zeros(scene.token_ids.shape, int)
    for token, factor in coefficients:
        total += factor * scene.counts[..., token]
    return total


@dataclass(frozen=True)
class Multiple(Condition):
    """How many tokens there are behind the first, modulo a number."""

    modulus: int
    remainder: int

    def text(self, words: Wording) -> str:
        since = "the number of tokens since <bos>" if "<bos>" in words.header.vocabulary else "the number of tokens before this one"
        if self.modulus == 2:
            return f"{since} is {'odd' if self.remainder else 'even'}"
        return f"{since} modulo {self.modulus} is {self.remainder}"

    def holds(self, scene: Scene) -> Array:
        return np.broadcast_to(np.arange(scene.token_ids.shape[1]) % self.modulus == self.remainder, scene.token_ids.shape)


@dataclass(frozen=True)
class Came(Condition):
    """Whether one token has come after another, somewhere."""

    first: int
    second: int
    yes: bool = True

    def text(self, words: Wording) -> str:
        return f"{'a' if self.yes else 'no'} {words.token(self.second)} has come after a {words.token(self.first)}"

    def holds(self, scene: Scene) -> Array:
        after = (scene.token_ids == self.second) & (scene.counts[..., self.first] > (self.first == self.second))
        return np.logical_or.accumulate(after, axis=1) == self.yes


@dataclass(frozen=True)
class Both(Condition):
    """Two conditions hold."""

    first: Condition
    second: Condition

    def text(self, words: Wording) -> str:
        one, two = self.first, self.second
        if isinstance(one, Is) and isinstance(two, Is) and one.tokens == two.tokens and len(one.tokens) == 1:
            return f"{one.notion.text(words)} and {two.notion.text(words)} are both {words.any_of(one.tokens)}"
        return f"{one.text(words)} and {two.text(words)}"

    def holds(self, scene: Scene) -> Array:
        return self.first.holds(scene) & self.second.holds(scene)


@dataclass(frozen=True)
class Unless(Condition):
    """What does not hold."""

    what: Condition

    def text(self, words: Wording) -> str:
        return f"not: {self.what.text(words)}"

    def holds(self, scene: Scene) -> Array:
        return ~self.what.holds(scene)


def opposite(condition: Condition) -> Condition:
    """What holds where a condition does not."""
    if isinstance(condition, Tally) and condition.relation != "exactly":
        at_most = condition.relation == "at most"
        return Tally(condition.coefficients, "at least" if at_most else "at most", condition.number + (1 if at_most else -1))
    if isinstance(condition, Came):
        return Came(condition.first, condition.second, not condition.yes)
    if isinstance(condition, Constant):
        return Constant(not condition.value)
    return condition.what if isinstance(condition, Unless) else Unless(condition)


def this_is(tokens: tuple[int, ...]) -> Is:
    return Is(Current(), tokens)
