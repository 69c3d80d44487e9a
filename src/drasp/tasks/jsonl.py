"""A task given by a file of sequences, one JSON object a line.

The first line is the header; its fields mean what the arguments of `drasp.examples` mean:

    {"version": 2, "vocabulary": ["a", "b", "."], "predict": "next-token", "scored": "last"}

It may also have `positions` (how many position ids there are; as many as the longest sequence needs by default), `order` (the tokens that
have an order), `outputs`, `pad` and `offset`. Every other line is a sequence: its tokens, strings or whole numbers; the positions at which
predictions count, where the header does not say so; and what is right there, `answers`, or for next-token-set `sets`, one list for each
scored position. Without answers the token that follows is right:

    {"tokens": ["a", "b", "."]}
    {"tokens": ["a", "b"], "scored": [0, 1], "answers": ["b", "."]}
    {"tokens": ["a", "b"], "scored": [0, 1], "sets": [["a", "b"], ["."]]}

A header without a version is of version 1: there `positions` must be said, sequences start at a random offset that leaves them within
these, and a sequence's length is the number of tokens before its first `<sep>`, or else `<eos>`, not counting `<bos>`.

Every sequence in the range of lengths asked for is drawn equally often. A third of them is kept to judge by (see `SequenceTask.parts`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drasp.errors import TaskError
from drasp.tasks.protocol import Asked
from drasp.tasks.sampling import MOST, SPECIAL, check_header, check_names
from drasp.tasks.sequences import Ids, Mark, SequenceTask, places_said

BOS, SEP, EOS, PAD = SPECIAL
VERSIONS = (1, 2)
OPTIONAL = {"version": int, "order": list, "outputs": list, "pad": str, "offset": (int, str), "scored": (str, int, list)}


class JsonlTask(SequenceTask):
    """The task in a file. Raises TaskError, with file and line, where the file is not as the module says."""

    def __init__(self, path: Path):
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except FileNotFoundError:
            raise TaskError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise TaskError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        numbered = [(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
        if not numbered:
            raise TaskError(f"{path}: the file is empty")
        self.name = path.stem
        self.description = f"the sequences of {path.name}"
        self._read_header(*numbered[0])
        if len(numbered) == 1:
            raise TaskError(f"{path}: there is a header, but no sequence")
        self._marks: dict[bytes, Mark] = {}
        self.rows = [self._read_sequence(where, line) for where, line in numbered[1:]]
        if self.positions is None:
            self.positions = max(map(len, self.rows)) + (0 if self.offset == "random" else int(self.offset))

    def mark(self, ids: Ids) -> Mark:
        """See `SequenceTask`. Raises TaskError if a sequence is none of the file's."""
        found = self._marks.get(ids.tobytes())
        if found is None:
            raise TaskError(f"task {self.name}: the file does not have the sequence {' '.join(self.vocabulary[i] for i in ids)}")
        return found

    def length(self, ids: Ids) -> int:
        """See `SequenceTask`."""
        if self._version > 1:
            return len(ids)
        tokens = [self.vocabulary[i] for i in ids]
        stop = next((tokens.index(token) for token in (SEP, EOS) if token in tokens), len(tokens))
        return stop - (tokens[:1] == [BOS])

    def for_model(self, model: Asked) -> SequenceTask:
        """See `drasp.tasks.protocol.Task`: with random offsets and no positions said, those of the model."""
        found = super().for_model(model)
        if self.offset == "random" and not self._said_positions:
            found.positions = model.positions
        return found

    def _read_header(self, where: str, line: str) -> None:
        header = _object(where, line, {"vocabulary": list, "predict": str}, {"positions": int, **OPTIONAL}, "header")
        self._version = header.get("version", 1)
        if self._version not in VERSIONS:
            raise TaskError(f"{where}: version is {self._version}; this drasp reads {' and '.join(map(str, VERSIONS))}")
        self._said_positions = "positions" in header
        if self._version == 1 and not self._said_positions:
            raise TaskError(f"{where}: a header without a version must have positions")
        self.vocabulary = tuple(map(_named, header["vocabulary"]))
        self.predict = header["predict"]
        self.positions = header.get("positions")
        self.order = tuple(map(_named, header["order"])) if "order" in header else None
        check_header(where, self.vocabulary, self.predict, self.positions, self.order)
        if "outputs" in header:
            self.outputs = tuple(map(_named, header["outputs"]))
            check_names(where, "outputs", self.outputs)
        self.padding = header.get("pad", self.vocabulary[-1] if self.vocabulary[-1] == PAD else None)
        if self.padding not in (None, *self.vocabulary):
            raise TaskError(f"{where}: pad is {self.padding!r}, which is not in the vocabulary")
        self.offset = header.get("offset", "random" if self._version == 1 else 0)
        if self.offset != "random" and (not isinstance(self.offset, int) or not 0 <= self.offset <= MOST):
            raise TaskError(f'{where}: offset must be a whole number from 0 to {MOST} or "random", not {self.offset!r}')
        self._scored = header.get("scored")
        if isinstance(self._scored, str) and self._scored not in ("all", "last"):
            raise TaskError(f'{where}: scored must be "all", "last" or positions, not {self._scored!r}')
        self._id = {token: i for i, token in enumerate(self.vocabulary)}
        self._output_id = self._id if self.outputs is None else {name: i for i, name in enumerate(self.outputs)}

    def _read_sequence(self, where: str, line: str) -> Ids:
        sets = self.predict == "next-token-set"
        needed: dict[str, Any] = {"tokens": list} | ({"scored": list} if self._scored is None else {}) | ({"sets": list} if sets else {})
        optional: dict[str, Any] = {} if sets else {"answers": list}
        optional |= {} if self._scored is None else {"scored": list}
        sequence = _object(where, line, needed, optional, "sequence")
        tokens = list(map(_named, sequence["tokens"]))
        ids = self._ids(where, tokens, self._id, "token")
        if self.padding is not None and self.padding in tokens:
            raise TaskError(f"{where}: {self.padding} is put in by the sampler and may not stand in a sequence")
        if self.positions is not None and len(tokens) > self.positions:
            raise TaskError(f"{where}: {len(tokens)} tokens, but the header has only {self.positions} positions")
        follows = not sets and "answers" not in sequence and self.outputs is None and self._version == 1
        places = self._places(where, sequence.get("scored"), len(tokens), len(tokens) - follows)
        mark = Mark(places, self._said(where, ids, places, sequence))
        other = self._marks.setdefault(ids.tobytes(), mark)
        if not all(np.array_equal(one, two) for one, two in zip(mark, other, strict=True)):
            what = "sets" if sets and np.array_equal(mark.places, other.places) else "scored positions or answers"
            raise TaskError(f"{where}: an earlier line has the same tokens with other {what}")
        return ids

    def _places(self, where: str, listed: list[Any] | None, count: int, end: int) -> np.ndarray:
        """The scored positions of a sequence of so many tokens, which are below `end`."""
        if end < 1:
            raise TaskError(f"{where}: too few tokens ({count}): there is none to predict")
        if listed is None:
            listed = places_said(self._scored, count)
        if not listed:
            raise TaskError(f"{where}: no position is scored")
        for position in listed:
            if type(position) is not int or not 0 <= position < end:
                raise TaskError(f"{where}: a scored position must be a whole number from 0 to {end - 1}, not {position!r}")
        return np.array(listed, dtype=np.int64)

    def _said(self, where: str, ids: Ids, places: np.ndarray, sequence: Mapping[str, Any]) -> np.ndarray:
        """What a line says is right."""
        what = "sets" if self.predict == "next-token-set" else "answers"
        listed = sequence.get(what)
        if listed is None:
            return self.following(ids, places)
        if len(listed) != len(places):
            raise TaskError(f"{where}: {len(listed)} {what} for {len(places)} scored positions")
        if what == "answers":
            return self._ids(where, list(map(_named, listed)), self._output_id, "answer")
        sets = np.zeros((len(places), len(self._output_id)), dtype=bool)
        for row, tokens in enumerate(listed):
            if not isinstance(tokens, list):
                raise TaskError(f"{where}: each of the sets must be a list of tokens, not {tokens!r}")
            sets[row, self._ids(where, list(map(_named, tokens)), self._output_id, "token")] = True
        return sets

    def _ids(self, where: str, names: list[Any], ids: Mapping[str, int], what: str) -> np.ndarray:
        for name in names:
            if not isinstance(name, str) or name not in ids:
                raise TaskError(f"{where}: the {what} {name!r} is not {'in the vocabulary' if ids is self._id else 'one of the outputs'}")
        return np.array([ids[name] for name in names], dtype=np.int64)


def _named(token: Any) -> Any:
    """A whole number as a token: its digits."""
    return str(token) if type(token) is int else token


def _object(where: str, line: str, needed: Mapping[str, Any], optional: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The JSON object in a line, its keys and their types checked."""
    types = {**needed, **optional}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: no JSON: {error}") from None
    wrong = "this is none"
    if isinstance(found, dict):
        wrong = ", ".join(
            [f"{key} is missing" for key in needed if key not in found] + [f"{key!r} is none of them" for key in found if key not in types]
        )
    if wrong:
        perhaps = f" and perhaps {', '.join(optional)}" if optional else ""
        raise TaskError(f"{where}: a {what} is an object with {', '.join(needed)}{perhaps}: {wrong}")
    for key, value in found.items():
        if not isinstance(value, kind := types[key]) or isinstance(value, bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise TaskError(f"{where}: {key} must be a {' or '.join(_IN_WORDS[each] for each in kinds)}, not {value!r}")
    return found


_IN_WORDS = {list: "list", str: "string", int: "whole number"}
