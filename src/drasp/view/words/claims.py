"""Claims: what is told of a program, and whether it is so on a scene."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

import numpy as np

from drasp.ir.program import feeds_attention
from drasp.view.words.conditions import Both, Condition, Tally, Unless, tally
from drasp.view.words.notions import Notion
from drasp.view.words.scene import Array, Scene
from drasp.view.words.wording import NONE, Coefficients

ONE_HOT = 0.98
"""The share from which on an average is said to be a single token."""
TIE = 1e-4
"""Shares that differ by less are not told apart."""


MOSTLY = 0.95
"""The share of positions from which on something is told as being so mostly."""


class Claim(ABC):
    """What is told of a program."""

    @abstractmethod
    def holds(self, scene: Scene) -> bool:
        """Whether it is so at all checked positions."""

    def conditions(self) -> tuple[Condition, ...]:
        """What it speaks of."""
        return ()


@dataclass(frozen=True)
class MayFollow(Claim):
    """An output is among those predicted just where a condition holds.

    Attributes:
        after: the tokens for which that is said; None for all.
    """

    output: int
    condition: Condition
    after: tuple[int, ...] | None = None

    def holds(self, scene: Scene) -> bool:
        among = _after(scene, self.after)
        return bool(among.any() and (scene.allowed[..., self.output] == self.condition.holds(scene))[among].all())

    def conditions(self) -> tuple[Condition, ...]:
        return (self.condition,)


@dataclass(frozen=True)
class PutsOut(Claim):
    """What is predicted is a notion; where a condition holds, instead a certain output: of several the first.

    Attributes:
        after: the tokens for which that is said; None for all.
        least: the share of the positions at which it is so.
    """

    notion: Notion
    instead: tuple[tuple[Condition, int], ...]
    after: tuple[int, ...] | None = None
    least: float = 1.0

    def holds(self, scene: Scene) -> bool:
        return self.share(scene) >= self.least

    def share(self, scene: Scene) -> float:
        """At how many of the positions it is so; 0 where there is none to check."""
        among = _after(scene, self.after)
        right, open_ = np.zeros(among.shape, bool), np.ones(among.shape, bool)
        for condition, output in self.instead:
            here = condition.holds(scene) & open_
            right |= here & (scene.predicted == output)
            open_ &= ~here
        right |= open_ & self.notion.agrees(scene, scene.predicted)
        return float(right[among].mean()) if among.any() else 0.0

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(condition for condition, _ in self.instead)


@dataclass(frozen=True)
class IsToken(Claim):
    """The largest coordinate of a variable is that of a notion, wherever there is such a token and the variable is read.

    Attributes:
        alone: whether there is hardly anything else in it.
        until: the token up to whose first place that is said; None for everywhere.
        least: the share of the positions at which it is so.
    """

    variable: str
    notion: Notion
    alone: bool = False
    until: int | None = None
    least: float = 1.0

    def holds(self, scene: Scene) -> bool:
        there, right = self.right(scene)
        return bool(there.any() and right[there].mean() >= self.least)

    def right(self, scene: Scene) -> tuple[Array, Array]:
        """(batch, time) booleans: where it is said, and where it is so."""
        values, tokens = scene.values[self.variable], self.notion.values(scene)
        there = self.among(scene) & (tokens != NONE)
        largest = values.max(-1)
        ties = (values >= largest[..., None] - TIE).sum(-1) > 1
        return there, (values.argmax(-1) == tokens) & ~ties & (largest >= (ONE_HOT if self.alone else 0))

    def among(self, scene: Scene) -> Array:
        """(batch, time) booleans: where the variable is read, up to the token."""
        read = seen(scene) if self.variable in feeds_attention(scene.program) else scene.checked
        return read if self.until is None else read & (scene.counts[..., self.until] == 0)


@dataclass(frozen=True)
class IsShare(Claim):
    """A variable holds the share of each token so far."""

    variable: str

    def holds(self, scene: Scene) -> bool:
        counts = scene.counts
        shares = counts / counts.sum(-1, keepdims=True)
        return bool(np.allclose(scene.values[self.variable], shares, atol=1e-5))


@dataclass(frozen=True)
class IsWeighted(Claim):
    """A variable holds the share of each token so far, where tokens count more or less often.

    Attributes:
        weights: how often, by the current token and that which is counted.
    """

    variable: str
    weights: tuple[tuple[float, ...], ...]

    def holds(self, scene: Scene) -> bool:
        counts = scene.counts * np.array(self.weights)[scene.token_ids]
        shares = counts / counts.sum(-1, keepdims=True)
        return bool(np.allclose(scene.values[self.variable], shares, atol=1e-4))


@dataclass(frozen=True)
class Tells(Claim):
    """A variable is 1 where a condition holds, else 0; up to what an average lacks of being a single token."""

    variable: str
    condition: Condition

    def holds(self, scene: Scene) -> bool:
        value = scene.values[self.variable][..., 0]
        near = np.abs(value - self.condition.holds(scene)) <= 1 - ONE_HOT
        return bool(near[scene.checked].all())

    def conditions(self) -> tuple[Condition, ...]:
        return (self.condition,)


@dataclass(frozen=True)
class Within(Claim):
    """A sum of counts stays between two numbers."""

    coefficients: Coefficients
    lowest: int
    highest: int

    def holds(self, scene: Scene) -> bool:
        found = tally(scene, self.coefficients)[scene.checked]
        return bool(found.min() >= self.lowest and found.max() <= self.highest)


@dataclass(frozen=True)
class Sentence:
    """A sentence of the algorithm.

    Attributes:
        text: as it is read.
        on_task: the same where the task's sequences alone are spoken of, if that is shorter.
        claims: what it says; all of them hold wherever they were checked.
        everywhere: whether that is on random strings too, and not only on the task's sequences.
        captions: what variables are, in few words.
    """

    text: str
    claims: tuple[Claim, ...] = ()
    on_task: str | None = None
    everywhere: bool = True
    captions: tuple[tuple[str, str], ...] = ()


def rounded_down(share: float) -> float:
    """A share that other sequences reach as well, in whole hundredths: with twice as many exceptions."""
    return 1.0 if share == 1 else floor(100 - 200 * (1 - share)) / 100


def seen(scene: Scene) -> Array:
    """(batch, time) booleans: up to the last checked position of each sequence."""
    return np.logical_or.accumulate(scene.checked[:, ::-1], axis=1)[:, ::-1]


def _after(scene: Scene, tokens: tuple[int, ...] | None) -> Array:
    return scene.checked if tokens is None else scene.checked & np.isin(scene.token_ids, tokens)


def tallies(claims: tuple[Claim, ...]) -> Iterator[Coefficients]:
    """The sums of several counts that claims speak of."""

    def within(condition: Condition) -> Iterator[Coefficients]:
        if isinstance(condition, Tally) and len(condition.coefficients) > 1:
            yield condition.coefficients
        elif isinstance(condition, Both):
            yield from within(condition.first)
            yield from within(condition.second)
        elif isinstance(condition, Unless):
            yield from within(condition.what)

    for claim in claims:
        for condition in claim.conditions():
            yield from within(condition)
