"""How tokens, lists and counts are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drasp.ir.labels import is_special, label_text, listed
from drasp.ir.program import Header

Coefficients = tuple[tuple[int, int], ...]
"""A whole number for some of the tokens, by their ids."""

MANY = 6

NONE = -1
"""Instead of a token: there is none."""


@dataclass(frozen=True)
class Wording:
    """What is called how in one text.

    Attributes:
        header: has the names of tokens and outputs.
        names: of sums of counts, "d".
        ranges: of sums of counts the least, to which "at most" means that alone, and the largest, likewise with "at least".
    """

    header: Header
    names: Mapping[Coefficients, str] = field(default_factory=dict)
    ranges: Mapping[Coefficients, Mapping[str, int]] = field(default_factory=dict)

    def token(self, token: int) -> str:
        return "none" if token == NONE else called(self.header.vocabulary[token])

    def output(self, output: int) -> str:
        name = self.header.predicted[output]
        return "the end" if name == "<eos>" else called(name)

    @property
    def may(self) -> str:
        return "may follow" if self.header.predict == "next-token-set" else "is predicted"

    def some_of(self, outputs: Sequence[int]) -> str:
        """Outputs, of many the first."""
        named = [self.output(output) for output in outputs[:MANY]]
        return listed(named, "or") if len(outputs) <= MANY else f"{', '.join(named)} and others"

    def any_of(self, tokens: Sequence[int]) -> str:
        return listed([self.token(token) for token in tokens], "or")

    def tally(self, coefficients: Coefficients) -> str:
        """`d`, or "the number of `a` minus the number of `b`"."""
        return self.names.get(coefficients) or self.in_full(coefficients)

    def in_full(self, coefficients: Coefficients) -> str:
        ordered = sorted(coefficients, key=lambda pair: pair[1] < 0)
        said = ""
        for token, factor in ordered:
            sign = (" minus " if factor < 0 else " plus ") if said else ("minus " if factor < 0 else "")
            said += f"{sign}{f'{abs(factor)} times ' if abs(factor) > 1 else ''}the number of {self.token(token)}"
        return said


def called(name: str) -> str:
    """`<eos>` as it is, others in backticks; what has one itself, or a space, as in the program."""
    plain = name.isprintable() and name and not set(name) & set("` \"'")
    return f"`{name}`" if plain and not is_special(name) else label_text(name)


def mostly(least: float) -> str:
    """How often something is so, as the beginning of a sentence; "" for always."""
    return "" if least == 1 else f"at {least:.0%} of the positions or more, "
