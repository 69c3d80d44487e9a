"""Which algorithm a program is: all of it but its numbers."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from drasp.core.journal import digest
from drasp.ir.program import Program
from drasp.ir.size import opaque_statements


def algorithm(program: Program) -> str | None:
    """A digest that two programs share if they are the same but for names, and for numbers of the same sign; None for one that has opaque
    lines.
    """
    if opaque_statements(program):
        return None
    places = {statement.name: f"#{place}" for place, statement in enumerate(program.statements)}
    return digest([_form(statement, places) for statement in program.statements])[:8]


def _form(value: Any, places: Mapping[str, str]) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, *(_form(getattr(value, f.name), places) for f in fields(value))
    if isinstance(value, float):
        return (value > 0) - (value < 0)
    if isinstance(value, tuple | list):
        return tuple(_form(item, places) for item in value)
    return places.get(value, value) if isinstance(value, str) else value
