"""What a primitive is, and the record in which everything about it stands.

A primitive is a class: `matrix` is its meaning, `text` its printed form, `words` its English in a caption, `python` its form in an
exported file, `numbers` its free numbers. Its `Record` says how it is read and which instances of it are worth trying. Row and column are
the two sides of the matrix; what they are called in print (`q` and `k`, `inp` and `out`, `x` and `y`) and in a caption ("the query
position") depends on the statement.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from drasp.ir.axis import Axis
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.reading import Node, Reader

Group = Literal["column", "row", "same", "difference", "pair", "key", "query and key"]
"""Candidates that are tried together. For operators those that are functions of one thing: the column's coordinate, the row's, whether the
two are the same, the difference of their places; or of both coordinates, where these are few. For attention those of a key alone, and those
of a query and a key."""


@dataclass(frozen=True)
class Asked:
    """Which candidates are wanted.

    Attributes:
        group: which kind.
        rows, columns: the two sides. For "same" they have one basis, for "difference" both have an order.
        moduli: those that are tried.
        shifts: the distances between places that are tried between a query and a key.
        tokens: up to how many symbols of a vocabulary each token, and each pair of tokens, is a candidate of attention.
    """

    group: Group
    rows: Axis
    columns: Axis
    moduli: range
    shifts: range = range(0)
    tokens: int = 0


Ranked = tuple[int, Primitive]
"""A candidate and its rank in its group: of two that explain the same, the one of the lower rank is taken."""


def none(asked: Asked) -> Iterable[Ranked]:
    """The candidates of a primitive that is never tried."""
    return ()


@dataclass(frozen=True)
class Record:
    """All that the rest of the project knows of a primitive.

    Attributes:
        kind: the class: matrix, text, words, exported Python, free numbers.
        shape: how it is written, where an error says what is expected; None for a predicate.
        reads: whether a piece of text is such a primitive; of several records the first one counts.
        parse: the primitive that the piece is.
        word: the word that it is, where it is but a word; it can name nothing else.
        helpers: the Python functions that `python` calls, by name.
        candidates: the instances worth trying when an operator or attention is to be named.
    """

    kind: type[Primitive]
    shape: str | None
    reads: Callable[[Node], bool]
    parse: Callable[[Reader, Node], Primitive]
    word: str | None = None
    helpers: Mapping[str, str] = field(default_factory=dict)
    candidates: Callable[[Asked], Iterable[Ranked]] = none
