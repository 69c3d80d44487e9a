"""Numbers that steer: each is a field of a frozen record, with its unit and where it comes from."""

from dataclasses import field
from typing import TypeVar

T = TypeVar("T")


def knob(default: T, *, unit: str, origin: str) -> T:
    """A field of a tuning record.

    Args:
        unit: "share", "seconds", "sequences", "nats", ...
        origin: a measurement in `benchmarks/`, a paper, or "chosen".
    """
    return field(default=default, metadata={"unit": unit, "origin": origin})
