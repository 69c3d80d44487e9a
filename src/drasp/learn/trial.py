"""How a pass speaks with the runner: it yields what it wants measured, and is sent the answer."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, TypeVar

from drasp.ir.program import Program
from drasp.learn.circuit import Circuit

PoolName = Literal["select", "verify"]
"""The sequences by which a search chooses, and those on which it checks its choice."""


Lengths = Literal["worst", "all"]


@dataclass(frozen=True)
class Trial:
    """A candidate to be measured: the runner sends its match, in the worst length band or over all lengths together.

    Attributes:
        trying: what was done to it, for a person to read.
        at_least: where match must fall below this, an upper bound of it is answer enough.
    """

    candidate: Program | Circuit
    trying: str
    at_least: float = 0.0
    pool: PoolName = "select"
    over: Lengths = "worst"


@dataclass(frozen=True)
class Doing:
    """What takes a while, for a person to read; the runner sends 0."""

    trying: str
    program: Program | None = None


@dataclass(frozen=True)
class Found:
    """What a pass has: the best it would end with, were it stopped here. The runner keeps it, and sends 0."""

    what: object


Result = TypeVar("Result")
Steps = Generator[Trial | Doing | Found, float, Result]
"""A pass at work: `match = yield Trial(...)`; what it returns is its result. Parts of passes are joined by `yield from`."""
