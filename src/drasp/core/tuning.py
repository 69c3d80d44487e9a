"""Tuning: the constants that steer a search are fields of frozen records, each with its unit and where it comes from."""

from dataclasses import field
from typing import TypeVar

T = TypeVar("T")


def knob(default: T, *, unit: str, origin: str) -> T:
    return field(default=default, metadata={"unit": unit, "origin": origin})
