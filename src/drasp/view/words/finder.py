"""Finding the condition, or the notion, that describes what is seen on the checked positions of a scene, the simplest first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drasp.ir.labels import is_special
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.total import Total
from drasp.ir.program import Program
from drasp.view.words.conditions import Both, Came, Condition, Constant, Is, Multiple, Tally, Unless, opposite, tally, this_is
from drasp.view.words.counts import Counts
from drasp.view.words.notions import FEW, Before, Current, Notion, notions, primitives
from drasp.view.words.scene import Array, Scene, different
from drasp.view.words.wording import Coefficients

MOST_MEMBERS = 3
"""Of a set of tokens that a notion is in."""


@dataclass(frozen=True, eq=False)
class Finder:
    """What is tried on one scene."""

    scene: Scene

    @cached_property
    def program(self) -> Program:
        return self.scene.program

    @cached_property
    def here(self) -> Array:
        """(checked positions) the tokens there."""
        return self.at(Current().values(self.scene))

    def at(self, array: Array) -> Array:
        """The checked positions of an array (batch, time, ...)."""
        return array[self.scene.checked]

    @cached_property
    def plain(self) -> Array:
        """Of each token whether it is no special one; False of NONE, at the end."""
        return np.append(~np.array([is_special(token) for token in self.program.header.vocabulary]), False)

    @cached_property
    def stops(self) -> list[tuple[Notion, Array]]:
        """What this token is compared with, to see whether the output ends."""
        special = [token for token in range(len(self.plain) - 1) if not self.plain[token]]
        found: list[Notion] = [Before(token) for token in special]
        return [(notion, self.at(notion.values(self.scene))) for notion in found]

    @cached_property
    def notions(self) -> list[tuple[Notion, Array]]:
        return [(notion, self.at(notion.values(self.scene))) for notion in notions(self.program)]

    @cached_property
    def flags(self) -> list[tuple[Condition, Array]]:
        """Conditions that need no fitting."""
        found: list[Condition] = [Multiple(modulus, remainder) for modulus in moduli(self.program) for remainder in range(modulus)]
        symbols = [int(symbol) for symbol in self.program.header.symbols]
        if len(symbols) <= FEW:
            found += [Came(first, second) for first in symbols for second in symbols]
        return [(flag, self.at(flag.holds(self.scene))) for flag in found]

    @cached_property
    def counts(self) -> dict[int, Counts]:
        """By the tokens at the checked positions."""
        return {int(token): Counts(self.program, int(token)) for token in different(self.here)}

    @cached_property
    def exact(self) -> dict[tuple[int, int], Condition | None]:
        """For an output and a current token what follows from the statements."""
        outputs = range(len(self.program.header.predicted))
        if self.program.header.predict == "next-token":  # what is largest hangs on the others
            return dict.fromkeys((output, token) for token in self.counts for output in outputs)
        return {(output, token): counts.condition(output) for token, counts in self.counts.items() for output in outputs}

    @cached_property
    def tallies(self) -> list[tuple[Coefficients, Array]]:
        """Sums of counts that the statements suggest: exact ones, and differences of two counts of opposite sign."""
        found = [condition.coefficients for condition in self.exact.values() if isinstance(condition, Tally)]
        symbols = [int(symbol) for symbol in self.program.header.symbols]
        pairs = [(a, b) for a in symbols for b in symbols if a < b] if len(symbols) <= FEW else []
        if self.program.header.predict == "next-token":
            found += [((a, 1), (b, -1)) for a, b in pairs]
        elif pairs:
            sums = [counts.terms(output) for counts in self.counts.values() for output in range(len(self.program.header.predicted))]
            found += [((a, 1), (b, -1)) for a, b in pairs if any(terms is None or terms[a] * terms[b] < 0 for terms in sums)]
        simple = sorted(dict.fromkeys(found), key=lambda coefficients: sum(abs(factor) for _, factor in coefficients))
        return [(coefficients, self.at(tally(self.scene, coefficients))) for coefficients in simple]

    def condition(self, target: Array, among: Array, constants: bool = True) -> Condition | None:
        """What tells where a target holds.

        Args:
            target, among: (checked positions) booleans: what is to be told, and where.
            constants: whether what only this token tells, or nothing, counts as found.
        """
        simple = self._simple(target, among)
        if isinstance(simple, Constant) or (isinstance(simple, Is) and isinstance(simple.notion, Current)):
            return simple if constants else None
        return simple or self._by_token(target, among)

    def _simple(self, target: Array, among: Array) -> Condition | None:
        if not among.any():
            return None
        wanted = target[among]
        if wanted.all() or not wanted.any():
            return Constant(bool(wanted.all()))
        tries: tuple[Callable[[Array, Array], Condition | None], ...] = (self._current, self._tally, self._flag, self._notion)
        return next((found for attempt in tries if (found := attempt(wanted, among)) is not None), None)

    def _current(self, wanted: Array, among: Array) -> Condition | None:
        members = _members(self.here[among], wanted)
        return None if members is None else this_is(members)

    def _tally(self, wanted: Array, among: Array) -> Condition | None:
        for coefficients, values in self.tallies:
            yes, no = values[among][wanted], values[among][~wanted]
            if yes.max() < no.min():
                found = self._between(coefficients, "at most", int(yes.max()), int(no.min()) - 1)
            elif no.max() < yes.min():
                found = self._between(coefficients, "at least", int(no.max()) + 1, int(yes.min()))
            else:
                continue
            if found is not None:
                return found
        return None

    def _between(self, coefficients: Coefficients, relation: str, lowest: int, highest: int) -> Condition | None:
        """A threshold: the only one that fits what is seen, or of several the one that follows from the statements."""
        fits = [condition for condition in self.exact.values() if isinstance(condition, Tally) and condition.coefficients == coefficients]
        numbers = [c.number if c.relation == relation else opposite(c).number for c in fits]  # type: ignore[attr-defined]
        number = next((n for n in numbers if lowest <= n <= highest), lowest if lowest == highest else None)
        return None if number is None else Tally(coefficients, relation, number)  # type: ignore[arg-type]

    def _flag(self, wanted: Array, among: Array) -> Condition | None:
        for flag, values in self.flags:
            if (values[among] == wanted).all():
                return flag
            if (values[among] != wanted).all():
                return opposite(flag)
        return None

    def _notion(self, wanted: Array, among: Array) -> Condition | None:
        for notion, values in self.notions:
            members = _members(values[among], wanted)
            if members is not None and len(members) <= MOST_MEMBERS:
                return Is(notion, members)
            rest = None if members is None else tuple(sorted(set(values[among].tolist()) - set(members)))
            if rest is not None and len(rest) <= MOST_MEMBERS:
                return Unless(Is(notion, rest))
        return None

    def _by_token(self, target: Array, among: Array) -> Condition | None:
        """That this token is one of some and something else holds; or that not both do."""
        tokens = [int(token) for token in different(self.here[among])]
        if len(tokens) > FEW + 4:
            return None
        wanted = {token: target[among & (self.here == token)] for token in tokens}
        mixed = tuple(token for token in tokens if wanted[token].any() and not wanted[token].all())
        others = [token for token in tokens if token not in mixed]
        allowed = {bool(wanted[token].all()) for token in others}
        if len(allowed) != 1 or not mixed:
            return None
        unless = allowed == {True}
        found = self._simple(target != unless, among & np.isin(self.here, mixed))
        if found is None:
            return None
        both = Both(this_is(mixed), found)
        return Unless(both) if unless else both


def _members(values: Array, wanted: Array) -> tuple[int, ...] | None:
    """The values at which something is wanted, where they tell it."""
    yes, no = set(different(values[wanted]).tolist()), set(different(values[~wanted]).tolist())
    return None if yes & no else tuple(sorted(yes))


def moduli(program: Program) -> Iterator[int]:
    """Of which remainders are taken."""
    found: set[int] = set()
    for primitive in primitives(program):
        if isinstance(primitive, Comparison):
            found |= {side.modulo for side in (primitive.left, primitive.right) if isinstance(side, Index) and side.modulo}
        elif isinstance(primitive, Member) and primitive.index.modulo:
            found.add(primitive.index.modulo)
        elif isinstance(primitive, Total) and primitive.modulo:
            found.add(primitive.modulo)
    yield from sorted(found)
