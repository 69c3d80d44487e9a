"""The trade-off that a search has met: for each number of statements the program that matches best, if no smaller one matches as well."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

from drasp.core.tuning import knob
from drasp.evidence.schema import FrontierEntry
from drasp.ir.program import Program
from drasp.ir.size import Size, size
from drasp.lang.folder import PROGRAM_FILE

Pool = Literal["select", "verify", "evidence"]


@dataclass(frozen=True)
class Point:
    """A program of the frontier.

    Attributes:
        match: in the worst length band.
        measured_on: "select", the sequences by which the search chooses; "verify", those on which it checks its choice; "evidence", the
            fresh ones on which the result is judged.
    """

    program: Program
    match: float
    measured_on: Pool

    @property
    def statements(self) -> int:
        return len(self.program.statements)

    @property
    def size(self) -> Size:
        return size(self.program)

    @property
    def folder(self) -> str:
        """Where it stands in the run folder: the result at the top, the others by their number of statements."""
        return "." if self.measured_on == "evidence" else f"frontier/{self.statements}"

    def beats(self, other: "Point") -> bool:
        """Whether nobody needs the other: it is no smaller and no better."""
        return self.statements <= other.statements and self.match >= other.match


@dataclass(frozen=True)
class FrontierTuning:
    """What is kept of the trade-off."""

    match: float = knob(0.5, unit="match at the least", origin="chosen")
    statements: int = knob(100, unit="statements at the most", origin="chosen")
    points: int = knob(20, unit="programs at the most", origin="chosen")


class Frontier:
    """The programs met so far of which none is both larger and worse than another, few enough and small enough."""

    def __init__(self, tuning: FrontierTuning) -> None:
        self.tuning = tuning
        self._points: list[Point] = []

    def takes(self, statements: int) -> bool:
        """Whether a program of so many statements is small enough."""
        return statements <= self.tuning.statements

    def add(self, program: Program, match: float, measured_on: Pool) -> None:
        """A program whose match was measured; measured again, what was known of it is replaced."""
        if not self.takes(len(program.statements)) or match < self.tuning.match:
            return
        new = Point(program, match, measured_on)
        others = [p for p in self._points if p.program.digest != program.digest]
        if not any(p.beats(new) for p in others):
            others = sorted([*(p for p in others if not new.beats(p)), new], key=lambda p: p.statements)
        self._points = _thinned(others, self.tuning.points)

    def with_result(self, result: Point) -> tuple[Point, ...]:
        """From small to large: the programs that the result does not beat, and the result itself, which always belongs to them."""
        left = [p for p in self._points if not result.beats(p)]
        return tuple(sorted([*left, result], key=lambda p: (p.statements, p.match)))


def listing(points: Iterable[Point]) -> tuple[FrontierEntry, ...]:
    """The frontier as `frontier.json` holds it."""
    return tuple(
        FrontierEntry(**asdict(p.size), match=round(p.match, 6), measured_on=p.measured_on, file=str(PurePosixPath(p.folder, PROGRAM_FILE)))
        for p in points
    )


def _thinned(points: list[Point], most: int) -> list[Point]:
    """Without the points next to which another matches nearly as well, until there are not too many; the ends stay."""
    while len(points) > most:
        gains = [after.match - before.match for before, after in pairwise(points[:-1])]
        del points[1 + gains.index(min(gains))]
    return points
