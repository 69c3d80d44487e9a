"""Labels: how coordinates, numbers and sets of coordinates are written."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from drasp.errors import ProgramError

Label = str | int | tuple[Any, Any]
"""A coordinate as it is written: a token, the index of a position or derived coordinate, or a pair of labels."""

SPECIAL_TOKEN = re.compile(r"<[A-Za-z_][A-Za-z0-9_]*>")


def is_special(label: object) -> bool:
    """Whether a coordinate is a special token, written `<word>`."""
    return isinstance(label, str) and SPECIAL_TOKEN.fullmatch(label) is not None


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number: 8, not 8.0."""
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(float(value))


def label_text(label: Label) -> str:
    """`<bos>`, `"a"`, `3`, `("a", 3)`."""
    if isinstance(label, tuple):
        return "(" + ", ".join(label_text(part) for part in label) + ")"
    if isinstance(label, int):
        return str(label)
    return label if is_special(label) else json.dumps(label, ensure_ascii=False)


def finite(value: float) -> None:
    """Raises ProgramError where a number is infinite or not a number."""
    if not isfinite(value):
        raise ProgramError(f"{value} is no finite number")


def distinct(labels: Iterable[object], what: str) -> None:
    """Raises ProgramError where a label stands twice, or there is none."""
    seen = set()
    for label in labels:
        if label in seen:
            raise ProgramError(f"{what} has {member_text(label)} twice")  # type: ignore[arg-type]
        seen.add(label)
    if not seen:
        raise ProgramError(f"{what} is empty")


@dataclass(frozen=True)
class Range:
    """`"0".."149"`: all coordinates from one to another, both included, in the order of the basis."""

    first: str | int
    last: str | int


def member_text(member: Label | Range) -> str:
    """A member of a set as it is written."""
    if isinstance(member, Range):
        return f"{label_text(member.first)}..{label_text(member.last)}"
    return label_text(member)


def members_words(members: Sequence[Label | Range]) -> str:
    """The members of a set in a caption: `"a", "b" or 3 to 7`."""
    said = [f"{label_text(m.first)} to {label_text(m.last)}" if isinstance(m, Range) else label_text(m) for m in members]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def member_numbers(members: Sequence[Label | Range]) -> int:
    """Every member counts one; of a range its two ends."""
    return sum(2 if isinstance(m, Range) else 1 for m in members)


def listed(items: Sequence[str], word: str) -> str:
    """`a, b or c`."""
    return f" {word} ".join([", ".join(items[:-1]), *items[-1:]]) if len(items) > 1 else "".join(items)


def braces(items: Iterable[str]) -> str:
    """Items as a set or table is written."""
    return "{" + ", ".join(items) + "}"
