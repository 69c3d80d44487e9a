"""A model however it is given, as the plain description."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.memory import KINDS, from_memory
from drasp.model.transformer import Transformer


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
