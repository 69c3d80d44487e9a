"""A task in one call: sequences, and where predictions on them count."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from drasp.errors import DraspError, TaskError, kind_and_message
from drasp.tasks.protocol import Asked, Task
from drasp.tasks.sampling import LONGEST, MOST, check_header, check_names
from drasp.tasks.sequences import Ids, Mark, SequenceTask, places_said

Token = str | int
Given = Sequence[Token]
"""A sequence of tokens as it was given: a list, or a string."""
Draw = Callable[[np.random.Generator, int, tuple[int, int]], Iterable[Given]]
Sequences = Iterable[Given] | Draw
Scored = Literal["all", "last"] | int | Sequence[int] | Callable[[Any], Any]

_Form = Literal["characters", "words", "numbers", "strings"]

LOOKED_AT = 2_000
"""Sequences of a function by which its vocabulary is found out."""


def examples(
    sequences: Sequences,
    scored: Scored = "last",
    answers: Callable[[Any], Any] | None = None,
    outputs: Iterable[Token] | None = None,
    vocabulary: Iterable[Token] | None = None,
    predict: Literal["next-token", "next-token-set"] = "next-token",
    pad: Token | None = None,
    offset: int | Literal["random"] = 0,
) -> Task:
    """A task of one's own sequences.

    Args:
        sequences: lists of tokens, which are strings or whole numbers, or strings, which are split at their spaces, or where none has any
            into characters; or a function (rng, count, lengths) that draws such lists anew at every call. Of a list a third is kept to
            judge by; where it holds every input there is, up to 20,000, all are judged. A sequence's length is its number of tokens.
        scored: where predictions count: "all", "last", positions (a number, or several; negative from the end), or a function of a
            sequence that gives them.
        answers: a function of a sequence that gives what is right at each scored position: a token, or one of `outputs`, or for
            next-token-set a collection of those. None: the token that follows, if there is one; else nobody knows what is right.
        outputs: the names of the classes, in the order of the model's outputs, where these are not the vocabulary.
        vocabulary: in id order. None: the tokens seen: whole numbers by value (the number is the id), strings as the model's tokenizer has
            them, or in sorted order.
        predict: "next-token", or "next-token-set": which may come next.
        pad: the padding token, where there is one.
        offset: the position of the first token, or "random" for models that were trained so.

    Raises:
        TaskError: one of these is not as said; one line.
    """
    if predict not in ("next-token", "next-token-set"):
        raise _wrong(f"predict must be next-token or next-token-set, not {predict!r}")
    if predict == "next-token-set" and answers is None:
        raise _wrong("next-token-set needs answers=, a function of a sequence that gives for each scored position what may come next")
    if answers is not None and not callable(answers):
        raise _wrong(f"answers must be a function of a sequence, not {answers!r}")
    if offset != "random" and (not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset <= MOST):
        raise _wrong(f'offset must be a whole number from 0 to {MOST} or "random", not {offset!r}')
    names = None if outputs is None else tuple(_name(output, "outputs") for output in outputs)
    if names is not None:
        check_names("examples", "outputs", names)
    given = sequences if callable(sequences) else list(_listed(sequences))
    known = None if vocabulary is None else tuple(vocabulary)
    return _Examples(_Arguments(given, _checked_scored(scored), answers, names, known, predict, pad, offset))


@dataclass(frozen=True)
class _Arguments:
    """What `examples` was given, checked."""

    sequences: "list[Given] | Draw"
    scored: Scored
    answers: Callable[[Any], Any] | None
    outputs: tuple[str, ...] | None
    vocabulary: tuple[Token, ...] | None
    predict: Literal["next-token", "next-token-set"]
    pad: Token | None
    offset: int | Literal["random"]
    positions: int | None = None


class _Examples(SequenceTask):
    """The task. Raises TaskError where a sequence has a token that is not in the vocabulary, or a place that it has not."""

    name = "examples"

    def __init__(self, asked: _Arguments):
        self.asked = asked
        self.predict, self.outputs, self.offset, self.positions = asked.predict, asked.outputs, asked.offset, asked.positions
        self.padding = None if asked.pad is None else _name(asked.pad, "pad")
        self.description = "sequences that a function draws" if callable(asked.sequences) else f"{len(asked.sequences)} given sequences"
        seen = self._called(np.random.default_rng(0), LOOKED_AT, (0, LONGEST)) if callable(asked.sequences) else asked.sequences
        if not seen or not any(map(len, seen)):
            raise _wrong(f"there is no {'token' if seen else 'sequence'}")
        self._codes = _Codes.of(seen, asked.vocabulary, asked.pad)
        self.vocabulary, self.order = self._codes.vocabulary, self._codes.order
        check_header("examples", self.vocabulary, self.predict, None, None)
        if self.padding is not None and self.padding not in self.vocabulary:
            raise _wrong(f"pad is {asked.pad!r}, which is not in the vocabulary")
        self._answer_ids = {name: i for i, name in enumerate(self.outputs or self.vocabulary)}
        self._places: dict[int, np.ndarray] = {}
        if callable(asked.sequences):
            self.drawn = lambda rng, count, lengths: list(map(self._ids, self._called(rng, count, lengths)))
        else:
            self.rows = list(map(self._ids, asked.sequences))
            if self.positions is None and asked.offset != "random":
                self.positions = asked.offset + max(map(len, self.rows))
        for ids in (self.rows or list(map(self._ids, seen)))[:LOOKED_AT]:
            self.mark(ids)

    def for_model(self, model: Asked) -> SequenceTask:
        """See `drasp.tasks.protocol.Task`."""
        tokens = model.tokens
        asked = replace(self.asked, positions=model.positions if self.offset == "random" else None)
        if asked.vocabulary is None and tokens is not None and self._codes.form != "numbers" and set(self.vocabulary) <= set(tokens):
            asked = replace(asked, vocabulary=tokens[: 1 + max(tokens.index(token) for token in self.vocabulary)])
        found = super().for_model(model) if asked == self.asked else _Examples(asked).for_model(model)
        found.name = self.name
        return found

    def scored(self, ids: Ids) -> np.ndarray:
        """See `SequenceTask`."""
        if callable(self.asked.scored):
            return self._inside(self._user("scored", self.asked.scored, ids), len(ids))
        if len(ids) not in self._places:
            self._places[len(ids)] = self._inside(self.asked.scored, len(ids))
        return self._places[len(ids)]

    def mark(self, ids: Ids) -> Mark:
        """See `SequenceTask`."""
        places = self.scored(ids)
        if self.asked.answers is None:
            return Mark(places, self.following(ids, places))
        found = self._user("answers", self.asked.answers, ids)
        sets = self.predict == "next-token-set"
        alone = isinstance(found, set | frozenset) if sets else isinstance(found, Hashable) and not isinstance(found, tuple)
        if alone and self._codes.form == "characters" and isinstance(found, str) and len(found) == len(places):
            alone = False  # a string of answers
        if not alone and len(places) == 1 and sets and not any(_is_collection(each) for each in found):
            alone = True
        right = [found] if alone else list(found)
        if len(right) != len(places):
            raise _wrong(f"answers gives {len(right)} for {len(places)} scored positions of {self._codes.given(ids)!r}")
        if not sets:
            return Mark(places, np.array([self._answer(each) for each in right]))
        allowed = np.zeros((len(places), len(self._answer_ids)), dtype=bool)
        for row, each in enumerate(right):
            allowed[row, [self._answer(token) for token in each]] = True
        return Mark(places, allowed)

    def _answer(self, value: Any) -> int:
        name = _name(value, "answers")
        if self.outputs is None:
            return self._codes.id(value)
        if name not in self._answer_ids:
            raise _wrong(f"answers gives {value!r}, which is not one of the outputs {', '.join(self._answer_ids)}")
        return self._answer_ids[name]

    def _ids(self, given: Given) -> Ids:
        ids = self._codes.ids(given)
        if self.padding is not None:
            real = np.flatnonzero(ids != self.vocabulary.index(self.padding))
            ids = ids[: real[-1] + 1] if len(real) else ids[:0]
        if not len(ids):
            raise _wrong("a sequence has no tokens")
        return ids

    def _inside(self, places: Any, count: int) -> np.ndarray:
        try:
            found = np.unique(np.array(places_said(places, count), dtype=np.int64))
        except (TypeError, ValueError, OverflowError):
            found = np.array([count])
        if not len(found) or found[0] < 0 or found[-1] >= count:
            raise _wrong(f"scored gives {places!r} for a sequence of {count} tokens: it must give one or more of their positions")
        return found

    def _called(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> list[Given]:
        assert callable(self.asked.sequences)
        try:
            return list(_listed(self.asked.sequences(rng, count, lengths)))
        except DraspError:
            raise
        except Exception as error:
            raise _wrong(f"sequences(rng, {count}, {lengths}) failed: {kind_and_message(error)}") from error

    def _user(self, what: str, function: Callable[[Any], Any], ids: Ids) -> Any:
        given = self._codes.given(ids)
        try:
            found = function(given)
        except Exception as error:
            raise _wrong(f"{what}({given!r}) failed: {kind_and_message(error)}") from error
        return found.tolist() if hasattr(found, "tolist") else found


@dataclass(frozen=True)
class _Codes:
    """Tokens and ids.

    Attributes:
        form: how sequences are given: as strings of characters or of words, or as lists, of numbers or of strings.
        known: the id of each token as it is given.  tokens: those by id.
    """

    form: _Form
    vocabulary: tuple[str, ...]
    order: tuple[str, ...] | None
    known: dict[Token, int]
    tokens: tuple[Token, ...]

    @classmethod
    def of(cls, seen: Sequence[Given], vocabulary: tuple[Token, ...] | None, pad: Token | None) -> "_Codes":
        """From some sequences."""
        form: _Form = "strings"
        if all(isinstance(given, str) for given in seen):
            form = "words" if any(" " in str(given) for given in seen) else "characters"
        tokens: set[Any] = {token for given in seen for token in _split(given, form)} | (set() if pad is None else {pad})
        numbers = all(isinstance(token, int | np.integer) and not isinstance(token, bool) for token in tokens)
        if not numbers and not all(isinstance(token, str) for token in tokens):
            odd = next(t for t in tokens if not isinstance(t, str)) if any(isinstance(t, str) for t in tokens) else next(iter(tokens))
            raise _wrong(f"tokens are all strings or all whole numbers, not {odd!r}")
        form = "numbers" if numbers else form
        if vocabulary is None:
            for odd in (min(tokens), max(tokens)) if numbers else ():
                if not 0 <= odd <= MOST:
                    raise _wrong(f"{odd} is no token id from 0 to {MOST}: give vocabulary=, in id order")
            vocabulary = tuple(range(max(tokens) + 1)) if numbers else tuple(sorted(tokens))
        names = tuple(_name(token, "vocabulary") for token in vocabulary)
        check_names("examples", "vocabulary", names)
        if not numbers:
            return cls(form, names, None, {name: i for i, name in enumerate(names)}, names)
        if not any(str(token) in names for token in tokens):  # they are ids, whatever the tokens are called
            return cls(form, names, None, {i: i for i in range(len(names))}, tuple(range(len(names))))
        numerals = [(int(name), i) for i, name in enumerate(names) if name.removeprefix("-").isdecimal()]
        order = tuple(str(value) for value, _ in sorted(numerals) if str(value) != str(pad))
        values = {i: value for value, i in numerals}
        known: dict[Token, int] = {value: i for i, value in values.items()}
        return cls(form, names, order or None, known, tuple(values.get(i, name) for i, name in enumerate(names)))

    def ids(self, given: Given) -> Ids:
        """A sequence as ids."""
        try:
            return np.array([self.known[token] for token in _split(given, self.form)], dtype=np.int64)
        except (KeyError, TypeError):
            odd = next(token for token in _split(given, self.form) if not isinstance(token, Hashable) or token not in self.known)
            raise _wrong(f"the token {odd!r} is not in the vocabulary; give vocabulary=, in id order") from None

    def id(self, token: Any) -> int:
        """Of a token as it is given."""
        if isinstance(token, Hashable) and token in self.known:
            return self.known[token]
        raise _wrong(f"answers gives {token!r}, which is not in the vocabulary")

    def given(self, ids: Ids) -> Any:
        """Ids as the sequence that was given."""
        tokens = [self.tokens[i] for i in ids]
        return tokens if self.form in ("numbers", "strings") else (" " if self.form == "words" else "").join(map(str, tokens))


def _split(given: Given, form: str) -> Sequence[Token]:
    if isinstance(given, str):
        return given.split() if form == "words" else given
    return given


def _listed(sequences: Any) -> Iterable[Given]:
    """Sequences as lists or strings, from lists, arrays or tensors."""
    if isinstance(sequences, str) or not isinstance(sequences, Iterable):
        raise _wrong(f"sequences must be lists of tokens, or a function that draws them, not {type(sequences).__name__}")
    for given in sequences.tolist() if hasattr(sequences, "tolist") else sequences:
        each = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(each, str | Sequence):
            raise _wrong(f"a sequence must be a list of tokens or a string, not {each!r}")
        yield each


def _checked_scored(scored: Any) -> Scored:
    scored = scored.tolist() if hasattr(scored, "tolist") else scored
    if callable(scored) or scored in ("all", "last") or (isinstance(scored, int) and not isinstance(scored, bool)):
        return scored
    if isinstance(scored, Collection) and not isinstance(scored, str) and all(type(place) is int for place in scored) and scored:
        return tuple(scored)
    raise _wrong(f'scored must be "all", "last", positions, or a function of a sequence that gives them, not {scored!r}')


def _name(token: Any, what: str) -> str:
    """How a token or output is called: a whole number by its digits."""
    if isinstance(token, bool | np.bool_ | int | np.integer):
        return str(int(token))
    if isinstance(token, str):
        return str(token)
    raise _wrong(f"{what} must be strings or whole numbers, not {token!r}")


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)


def _wrong(problem: str) -> TaskError:
    return TaskError(f"examples: {problem}")
