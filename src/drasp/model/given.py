"""A model however it is given, as the plain description."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.memory import KINDS, from_memory
from drasp.model.transformer import Transformer
from drasp.tasks.protocol import Task
from drasp.tasks.user import checked_answers, checked_sample


class InMemory(Protocol):
    """A model of another library, known by the name of its class, so that the library is not imported."""

    def state_dict(self) -> Mapping[str, Any]:
        """The tensors by name."""
        ...


Model = Transformer | str | os.PathLike[str] | InMemory


def as_transformer(model: Model) -> Transformer:
    """A model folder or the name of a bundled model, loaded; a model of another library in memory, converted, its own forward pass
    compared; a `Transformer` as it is.

    Raises:
        DraspError: it is none of these, cannot be loaded, or is not supported; the message lists every reason.
    """
    if isinstance(model, Transformer):
        return model
    if isinstance(model, str | os.PathLike):
        return load_transformer(resolve_model(os.fspath(model))[0])
    found = from_memory(model)
    if found is None:
        raise DraspError(
            f"{type(model).__name__} is no model that drasp knows; give a model folder or the name of a bundled model, a "
            f"{' or '.join(KINDS)}, or a drasp.Transformer filled by hand"
        )
    return found


def check_fit(transformer: Transformer, task: Task, lengths: tuple[int, int], model: str) -> None:
    """Draws a few sequences and refuses a task that is malformed or not this model's, which is called `model`.

    Raises:
        DraspError: the task breaks its rules, or has more tokens or positions than the model, or fewer tokens.
    """
    if len(task.vocabulary) != transformer.vocabulary_size:
        raise DraspError(
            f"task {task.name} has {len(task.vocabulary)} tokens, {model} has {transformer.vocabulary_size}: is it the right task?"
        )
    sample = checked_sample(task, np.random.default_rng(0), 100, lengths)
    checked_answers(task, sample)
    needed = max(getattr(task, "positions", None) or 0, int(sample.position_ids.max()) + 1)
    if needed > transformer.positions:
        raise DraspError(f"task {task.name} needs {needed} positions, {model} has {transformer.positions}: is it the right task?")
