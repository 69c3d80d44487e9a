"""Numbers that steer: each is a field of a frozen record, with what it counts and where its value comes from."""

from dataclasses import field
from typing import TypeVar

T = TypeVar("T")


def knob(default: T, *, unit: str, origin: str) -> T:
    """A field of a dataclass.

    Args:
        unit: what the number counts.
        origin: where its value comes from: "chosen", a paper, an experiment.
    """
    return field(default=default, metadata={"unit": unit, "origin": origin})
