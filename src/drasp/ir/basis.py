"""What an axis means. Every variable is a vector per position in one of these bases."""

from dataclasses import dataclass
from typing import Literal

BasisKind = Literal["token", "output", "position", "one", "derived", "pair", "residual"]
NAMED = ("token", "output")
"""The kinds whose coordinates have names."""


@dataclass(frozen=True)
class Basis:
    """A named axis.

    Attributes:
        kind: what the coordinates stand for.
        size: how many coordinates there are.
        names: for `derived`, the names of the coordinates where the operation names them; otherwise empty.
        parts: for `pair`, the two bases; coordinate `i * parts[1].size + j` is the pair (i, j). Otherwise empty.
    """

    kind: BasisKind
    size: int
    names: tuple[str, ...] = ()
    parts: tuple["Basis", ...] = ()

    def __str__(self) -> str:
        if self.kind == "pair":
            return f"pair({self.parts[0]}, {self.parts[1]})"
        return f"{self.kind}[{self.size}]"


ONE = Basis("one", 1)


def derived(size: int, names: tuple[str, ...] = ()) -> Basis:
    """The basis of an element-wise result."""
    return Basis("derived", size, names)


def pair(first: Basis, second: Basis) -> Basis:
    """The basis of `pair(x, y)`."""
    return Basis("pair", first.size * second.size, parts=(first, second))
