"""What naming makes: a program with something in symbols, and how close each of these is to what it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drasp.ir.program import Program
from drasp.learn.trial import Steps, Trial


@dataclass(frozen=True)
class Target:
    """Something that can be named.

    Attributes:
        name: what it is called.
        closeness: what tells how close a name is.
        limit: what that must not be beyond; else the name describes behaviour on the task, not what the model computes.
        at_least: whether more is closer.
    """

    name: str
    closeness: str
    limit: float
    at_least: bool


@dataclass(frozen=True)
class Rewrite:
    """A program with one thing in symbols.

    Attributes:
        target: what it is.
        program: with that alone replaced.
        statements: those that stand for it.
        closeness: as `target` calls it.
    """

    target: Target
    program: Program
    statements: tuple[str, ...]
    closeness: float


@dataclass(frozen=True)
class Piece:
    """What one name stands for, and how well.

    Attributes:
        statements: those that stand for it.
        closeness: as `target` calls it.
        match: of the program with this piece alone replaced, in the worst band.
    """

    target: Target
    statements: tuple[str, ...]
    closeness: float
    match: float

    @property
    def behaviour_only(self) -> bool:
        """Whether it only behaves alike on the task: what it computes is not what it replaces."""
        return self.closeness < self.target.limit if self.target.at_least else self.closeness > self.target.limit

    def as_json(self, names: Mapping[str, str]) -> dict[str, object]:
        """As evidence holds it; `names` gives what each statement is called by now."""
        return {
            "kind": self.target.name,
            "statements": [names[s] for s in self.statements],
            self.target.closeness: round(self.closeness, 4),
            "match": round(self.match, 6),
            "behaviour_only": self.behaviour_only,
        }


@dataclass(frozen=True)
class Naming:
    """A program with what could be named, and what each name stands for."""

    program: Program
    pieces: tuple[Piece, ...]


def measured(rewrites: Sequence[Rewrite]) -> Steps[tuple[Piece, ...]]:
    """A piece for each rewrite, with the match of what it makes."""
    pieces = []
    for rewrite in rewrites:
        match = yield Trial(rewrite.program, f"the {rewrite.target.name} named alone")
        pieces.append(Piece(rewrite.target, rewrite.statements, rewrite.closeness, match))
    return tuple(pieces)
