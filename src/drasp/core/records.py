"""Frozen dataclasses to JSON and back, by their fields alone: the one place that knows how."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from math import inf, isfinite
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Json = Any
"""What `json.loads` gives: None, booleans, numbers, texts, lists and objects of such."""

LARGEST = 2**63  # no count is as large
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no file can hold


class Damaged(Exception):
    """JSON that is no such record; the message says where, and what was expected there."""

    def __init__(self, place: str, problem: str):
        super().__init__(f"{place}: {problem}" if place else problem)


def to_json(value: Any) -> Json:
    """A record as JSON. A field that is None, and is so by default, is left out; what has no end is null."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {_key(f): (f, getattr(value, f.name)) for f in fields(value)}
        return {key: to_json(item) for key, (f, item) in held.items() if not (item is None and f.default is None)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [to_json(item) for item in value]
    return None if value == inf else value


def from_json(kind: Any, data: Json, place: str = "") -> Any:
    """What `to_json` was given, `kind` being its type.

    Args:
        kind: a dataclass, perhaps generic; a tuple, dictionary, literal, number, truth value or text; a union of such; Any.
        place: where `data` stands, for the message.

    Raises:
        Damaged: the data is anything else.
    """
    origin = get_origin(kind)
    if is_dataclass(origin or kind):
        return _record(kind, data, place)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), data, place)
    if origin is tuple:
        return _tuple(get_args(kind), data, place)
    if origin is dict:
        return {key: from_json(get_args(kind)[1], item, _inside(place, key)) for key, item in _object(data, place).items()}
    if origin is Literal:
        if not isinstance(data, str) or data not in get_args(kind):
            raise Damaged(place, f"expected {' or '.join(map(str, get_args(kind)))}")
        return data
    if kind is Any:
        return data
    accepts, called = _PLAIN[kind]
    if not accepts(data):
        raise Damaged(place, f"expected {called}")
    return float(data) if kind is float else data


def _whole(data: Json) -> bool:
    return isinstance(data, int) and not isinstance(data, bool) and abs(data) < LARGEST


_PLAIN: dict[Any, tuple[Callable[[Json], bool], str]] = {
    bool: (lambda data: isinstance(data, bool), "true or false"),
    int: (_whole, "a whole number"),
    float: (lambda data: _whole(data) or (isinstance(data, float) and isfinite(data)), "a number"),
    str: (lambda data: isinstance(data, str) and _SURROGATE.search(data) is None, "a text"),
    NoneType: (lambda data: data is None, "null"),
}


def _record(kind: Any, data: Json, place: str) -> Any:
    cls = get_origin(kind) or kind
    hints, known = _hints(kind), {_key(f): f for f in fields(cls)}
    held = _object(data, place)
    for key in held:
        if key not in known:
            raise Damaged(_inside(place, key), "there is no such key")
    for key, f in known.items():
        if key not in held and f.default is MISSING and f.default_factory is MISSING:
            raise Damaged(_inside(place, key), "it is missing")
    return cls(**{known[key].name: from_json(hints[known[key].name], item, _inside(place, key)) for key, item in held.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a record's fields; where it is generic, with what it is of."""
    cls = get_origin(kind) or kind
    hints = get_type_hints(cls)
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))

    def filled(hint: Any) -> Any:
        if isinstance(hint, TypeVar):
            return given[hint]
        free = getattr(hint, "__parameters__", ())
        return hint[tuple(given[variable] for variable in free)] if free else hint

    return {name: filled(hint) for name, hint in hints.items()}


def _one_of(kinds: tuple[Any, ...], data: Json, place: str) -> Any:
    if data is None and NoneType in kinds:
        return None
    several = [kind for kind in kinds if kind is not NoneType]
    if len(several) == 1:
        return from_json(several[0], data, place)
    for kind in several:
        try:
            return from_json(kind, data, place)
        except Damaged:
            continue
    raise Damaged(place, "expected something else")


def _tuple(kinds: tuple[Any, ...], data: Json, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise Damaged(place, "expected a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(data) != len(kinds):
        raise Damaged(place, f"expected a list of {len(kinds)}")
    return tuple(from_json(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(zip(kinds, data, strict=True)))


def _object(data: Json, place: str) -> dict[str, Json]:
    if not isinstance(data, dict):
        raise Damaged(place, "expected a JSON object")
    return data


def _key(f: "Field[Any]") -> str:
    """What a field is called in JSON: its metadata may name it otherwise."""
    return str(f.metadata.get("key", f.name))


def _inside(place: str, key: str) -> str:
    """Keys that are no plain words, from a damaged file, are cut so that the message stays one short line."""
    shown = key if key.isidentifier() and len(key) <= 40 else repr(key[:40])
    return f"{place}.{shown}" if place else shown
