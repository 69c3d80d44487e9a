"""Damaged copies of valid inputs: of texts, of bytes, of JSON values and of words on a command line."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

CHANGES = st.sampled_from((1, 1, 2, 3))
NUMBERS = ("0", "-1", "1e999", "1e308", "1e-320", "nan", "-inf", "0.5", "7" * 30, "999999", "1000001", "9" * 5_000, "1_0", "\u0663")
PIECES = ("", " ", "\n", "\r", "\t", "\x00", "\x1b[31m", "\x7f", "\x85", "\u202e", "\u2028", "\ufeff", '"', "\\", "#", "{", "]", "x" * 400)
DEEP = 400
"""Levels that something is nested: more than Python takes of brackets."""
_TOKENS = re.compile(r'"[^"\n]*"|<\w+>|\w+(?:\.\w+)?|\s|.', re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 10**6 + 1, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "a", "\x1b[31m", "\n", "\ud800", "x" * 400, "..", "all", [], {}, [None], [[1]], {"a": 1}, ["a", "a"], [1] * 300),
)


def _place(draw: Draw, count: int) -> int:
    return int(draw(st.integers(0, max(0, count - 1))))


def some_text(draw: Draw, valid: str) -> str:
    """A text in which lines, tokens, numbers or characters were changed."""
    for _ in range(draw(CHANGES)):
        valid = draw(st.sampled_from((_lines, _tokens, _tokens, _numbers, _characters, _nested)))(draw, valid)
    return valid


def _moved(draw: Draw, parts: list[str]) -> list[str]:
    """One part is left out, doubled, or exchanged for another that is there."""
    if not parts:
        return parts
    one, other = _place(draw, len(parts)), _place(draw, len(parts))
    kind = draw(st.sampled_from(("drop", "double", "exchange", "copy")))
    if kind == "drop":
        del parts[one]
    elif kind == "double":
        parts.insert(one, parts[one])
    elif kind == "copy":
        parts[one] = parts[other]
    else:
        parts[one], parts[other] = parts[other], parts[one]
    return parts


def _lines(draw: Draw, text: str) -> str:
    return "".join(_moved(draw, text.splitlines(keepends=True)))


def _tokens(draw: Draw, text: str) -> str:
    return "".join(_moved(draw, _TOKENS.findall(text)))


def _numbers(draw: Draw, text: str) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    one = found[_place(draw, len(found))]
    return text[: one.start()] + draw(st.sampled_from(NUMBERS)) + text[one.end() :]


def _characters(draw: Draw, text: str) -> str:
    start = _place(draw, len(text))
    return text[:start] + draw(st.sampled_from(PIECES)) + text[start + _place(draw, 4) :]


def _nested(draw: Draw, text: str) -> str:
    """A token in many brackets."""
    tokens = _TOKENS.findall(text)
    if tokens:
        one = _place(draw, len(tokens))
        opened, closed = draw(st.sampled_from(("()", "[]", ("{0:", "}"), ("relu(", ")"), ("not ", ""), ("-", ""))))
        levels = draw(st.sampled_from((1, 2, DEEP)))
        tokens[one] = opened * levels + tokens[one] + closed * levels
    return "".join(tokens)


def some_bytes(draw: Draw, valid: bytes) -> bytes:
    """Bytes of which some were flipped, left out, put in or cut off."""
    for _ in range(draw(CHANGES)):
        start = _place(draw, len(valid)) if draw(st.booleans()) else _place(draw, min(len(valid), 40))
        kind = draw(st.sampled_from(("flip", "drop", "put in", "cut", "double")))
        if kind == "flip" and valid:
            valid = valid[:start] + bytes([valid[start] ^ 1 << _place(draw, 8)]) + valid[start + 1 :]
        elif kind == "put in":
            valid = valid[:start] + draw(st.sampled_from((b"\xff\xfe", b"\x00", b"\x1b", b"\x80\x04", b"PK", b"\r\n"))) + valid[start:]
        elif kind == "cut":
            valid = valid[:start]
        elif kind == "double":
            valid = valid[:start] + valid[start : start + 8] + valid[start:]
        else:
            valid = valid[:start] + valid[start + 1 + _place(draw, 8) :]
    return valid


def some_file(draw: Draw, valid: str) -> bytes:
    """The bytes of a damaged text file."""
    if draw(st.integers(0, 4)) == 0:
        return some_bytes(draw, valid.encode())
    return some_text(draw, valid).encode("utf-8", "surrogatepass")


def some_json(draw: Draw, valid: Any) -> Any:
    """A JSON value in which values were replaced, keys dropped or renamed, items doubled."""
    for _ in range(draw(CHANGES)):
        places = list(_inside(valid, ()))
        if places:
            valid = _changed(draw, valid, places[_place(draw, len(places))])
    return valid


def _inside(value: Any, path: tuple[Any, ...]) -> Any:
    """The paths to all values within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _inside(item, (*path, key))


def _changed(draw: Draw, value: Any, path: tuple[Any, ...]) -> Any:
    """A copy with another item at a path."""
    copy, (key, *rest) = (dict(value) if isinstance(value, dict) else list(value)), path
    if rest:
        copy[key] = _changed(draw, copy[key], tuple(rest))
        return copy
    kind = draw(st.sampled_from(("replace", "replace", "drop", "double")))
    if kind == "drop":
        del copy[key]
    elif kind == "double" and isinstance(copy, list):
        copy.insert(key, copy[key])
    elif kind == "double":
        copy[draw(st.sampled_from(("", "x", "\x1b", f"{key}s", "k" * 500)))] = copy[key]
    else:
        copy[key] = draw(st.sampled_from(VALUES))
    return copy


def as_json(value: Any) -> str:
    """As text, numbers that are none included."""
    return json.dumps(value, indent=1)


def some_words(draw: Draw, valid: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words of a command, some of them left out, doubled, exchanged, or replaced by others."""
    words = list(valid)
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 3)))):
        kind = draw(st.sampled_from(("move", "replace", "put in")))
        if kind == "move":
            words = _moved(draw, words)
            continue
        start = _place(draw, len(words) + (kind == "put in"))
        words[start : start + (kind == "replace")] = [draw(st.sampled_from((*others, *NUMBERS, *PIECES)))]
    return words
