"""A model however it is given, as the plain description."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import from_hf, load_transformer
from drasp.model.hooked import from_hooked
from drasp.model.transformer import Transformer


class InMemory(Protocol):
    """A model of another library, known by the name of its class, so that the library is not imported."""

    def state_dict(self) -> Mapping[str, Any]:
        """The tensors by name."""
        ...


Model = Transformer | str | os.PathLike[str] | InMemory

_IN_MEMORY = {"GPT2LMHeadModel": from_hf, "HookedTransformer": from_hooked}


def as_transformer(model: Model) -> Transformer:
    """A model folder or the name of a bundled model, loaded; a `GPT2LMHeadModel` of Hugging Face or a `HookedTransformer` of
    TransformerLens, converted; a `Transformer` as it is.

    Raises:
        DraspError: it is none of these, cannot be loaded, or is not supported; the message lists every reason.
    """
    if isinstance(model, Transformer):
        return model
    if isinstance(model, str | os.PathLike):
        return load_transformer(resolve_model(os.fspath(model))[0])
    for kind in type(model).__mro__:
        if kind.__name__ in _IN_MEMORY:
            return _IN_MEMORY[kind.__name__](model)
    raise DraspError(
        f"{type(model).__name__} is no model that drasp knows; give a model folder or the name of a bundled model, a "
        f"drasp Transformer, or a {' or '.join(_IN_MEMORY)}"
    )
