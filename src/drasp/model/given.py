"""A model however it is given, as the plain description; and with its task."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.fit import fitted
from drasp.model.memory import KINDS, from_memory
from drasp.model.told import told_by
from drasp.model.transformer import Transformer
from drasp.tasks.protocol import Task
from drasp.tasks.user import as_task

if TYPE_CHECKING:
    from drasp.tasks.examples import Sequences


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
    if found is None and type(model).__name__.startswith("Peft"):
        raise DraspError(f"{type(model).__name__} is an adapter around a model: give drasp what its merge_and_unload() returns")
    if found is None:
        raise DraspError(
            f"{type(model).__name__} is no model that drasp knows; give a model folder or the name of a bundled model, a "
            f"{' or '.join(KINDS)}, or a drasp.Transformer filled by hand"
        )
    return found


def both_fitted(
    model: Model, task: "Task | Sequences | str | os.PathLike[str]", lengths: tuple[int, int], name: str = "the model"
) -> tuple[Transformer, Task]:
    """Both, however they are given, as they fit each other; see `as_transformer`, `as_task` and `fitted`."""
    transformer = as_transformer(model)
    return fitted(transformer, as_task(task), lengths, name, told_by(model, transformer.vocabulary_size))
