"""How exported Python speaks of the two sides of an operator."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drasp.ir.axis import Side
from drasp.ir.basis import Basis
from drasp.ir.labels import Label, Range, braces, number_text


def python_string(token: str) -> str:
    """A token as a Python string: what JSON writes means the same in Python."""
    return json.dumps(token, ensure_ascii=False)


def python_label(label: Label, basis: Basis) -> str:
    """The number of a coordinate, as it is written."""
    if isinstance(label, tuple):
        first, second = basis.parts
        return f"{python_label(label[0], first)} * {second.size} + {python_label(label[1], second)}"
    of = "OUTPUT_ID" if basis.kind == "output" else "ID"
    return f"{of}[{python_string(label)}]" if isinstance(label, str) else str(label)


@dataclass(frozen=True)
class PythonSides:
    """The two sides of an operator, the numbers of the rows' coordinates upright and those of the columns' flat.

    Attributes:
        names: the variables that hold them.
        bases: their bases.
    """

    names: Mapping[Side, str]
    bases: Mapping[Side, Basis]

    def has_places(self, side: Side) -> bool:
        """Whether the coordinates of a side have places of their own, and some perhaps none."""
        return self.bases[side].kind == "token"

    def called(self, side: Side) -> str:
        """The names of a side's coordinates."""
        return f"np.take({'OUTPUTS' if self.bases[side].kind == 'output' else 'VOCABULARY'}, {self.names[side]})"

    def place(self, side: Side) -> str:
        """The places of a side's coordinates in their order; NaN where there is none."""
        return f"PLACE[{self.names[side]}]" if self.has_places(side) else self.names[side]

    def places(self, expression: str, *sides: Side) -> str:
        """A number made of places, 0 where one is missing."""
        return f"np.nan_to_num({expression})" if any(map(self.has_places, sides)) else expression

    def label(self, label: Label, side: Side) -> str:
        """The number of a coordinate."""
        return python_label(label, self.bases[side])

    def members(self, members: Iterable[Label | Range], side: Side) -> str:
        """The numbers of a set's members, as a list."""
        said = []
        for member in members:
            if isinstance(member, Range):
                last = self.label(member.last, side)
                end = f"{last} + 1" if isinstance(member.last, str) else str(member.last + 1)
                said.append(f"*range({self.label(member.first, side)}, {end})")
            else:
                said.append(self.label(member, side))
        return f"[{', '.join(said)}]"

    def numbers(self, entries: Iterable[tuple[Label, float]], side: Side) -> str:
        """Numbers by coordinate, as a dictionary."""
        return braces(f"{self.label(label, side)}: {number_text(value)}" for label, value in entries)
