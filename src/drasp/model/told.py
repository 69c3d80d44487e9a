"""What a model tells of its tokens: its tokenizer, and the ids of its special tokens."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import CONFIG, read_json
from drasp.tasks.sampling import SPECIAL

_UNSAID = {"gpt_neox": {"<bos>": 0, "<eos>": 2}, "llama": {"<bos>": 1, "<eos>": 2}}
"""By `model_type`: the ids that a configuration of transformers has where nobody said any; they tell nothing of the model's tokens."""


@dataclass(frozen=True)
class Told:
    """What a model tells.

    Attributes:
        tokens: its tokens in id order; None where it does not tell.
        ids: of tokens that it names alone.
        where: what tells it.
    """

    tokens: tuple[str, ...] | None = None
    ids: Mapping[str, int] | None = None
    where: str = ""

    def check(self, vocabulary: Sequence[str], task: str, model: str) -> None:
        """Raises DraspError where a token of a task has another id here."""
        known = dict(self.ids or {}) | {token: i for i, token in enumerate(self.tokens or ())}
        for i, token in enumerate(vocabulary):
            if known.get(token, i) != i:
                raise DraspError(
                    f"{task} has the token {token} as id {i}, {model} as id {known[token]}, as {self.where} says: "
                    "give the vocabulary in the order of the model's ids"
                )


def told_by(model: object, size: int) -> Told:
    """What a model folder, the name of a bundled model, or a model in memory tells, of `size` tokens.

    A tokenizer of more tokens is another model's. What cannot be read tells nothing.
    """
    if isinstance(model, str | os.PathLike):
        folder = resolve_model(os.fspath(model))[0]
        config = _json(folder / CONFIG)
        for name, read in (("tokenizer.json", _of_tokenizer), ("vocab.json", dict), ("task.json", _of_record)):
            data = _json(folder / name)
            tokens = _in_order(read(data), size) if data else None
            if tokens is not None:
                return Told(tokens, None, name)
        return Told(None, _special(config, size), CONFIG)
    tokenizer: Any = getattr(model, "tokenizer", None)
    held: Any = getattr(model, "config", None)
    tokens = _in_order(tokenizer.get_vocab(), size) if hasattr(tokenizer, "get_vocab") else None
    if tokens is not None:
        return Told(tokens, None, "its tokenizer")
    return Told(None, _special(held.to_dict(), size), "its config") if hasattr(held, "to_dict") else Told()


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except DraspError:
        return {}


def _of_tokenizer(data: Mapping[str, Any]) -> dict[Any, Any]:
    inner, added = data.get("model"), data.get("added_tokens")
    vocabulary = inner.get("vocab") if isinstance(inner, dict) else None
    extra = (
        [token for token in added if isinstance(token, dict) and isinstance(token.get("content"), str)] if isinstance(added, list) else []
    )
    return {**vocabulary, **{token.get("content"): token.get("id") for token in extra}} if isinstance(vocabulary, dict) else {}


def _of_record(data: Mapping[str, Any]) -> dict[str, Any]:
    vocabulary = data.get("vocabulary")
    return {token: i for i, token in enumerate(vocabulary) if isinstance(token, str)} if isinstance(vocabulary, list) else {}


def _in_order(ids: Mapping[Any, Any], size: int) -> tuple[str, ...] | None:
    """The tokens by id, where every id up to the last has one, and the model has as many."""
    by_id = {i: token for token, i in ids.items() if isinstance(token, str) and type(i) is int}
    if not by_id or len(by_id) > size or set(by_id) != set(range(len(by_id))):
        return None
    return tuple(by_id[i] for i in range(len(by_id)))


def _special(config: Mapping[str, Any], size: int) -> dict[str, int]:
    ids = {token: i for token in SPECIAL if type(i := config.get(f"{token.strip('<>')}_token_id")) is int}
    if ids == _UNSAID.get(str(config.get("model_type"))):
        return {}
    return {token: i for token, i in ids.items() if 0 <= i < size}
