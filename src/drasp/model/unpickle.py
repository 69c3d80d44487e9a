"""A process of its own that opens a pickle of weights, and nothing but weights: `python -m drasp.model.unpickle FILE OUT`.

`torch.load(weights_only=True)` builds tensors and plain collections alone; whatever else a pickle asks for is an error, not code that runs.
"""

import sys
from collections.abc import Mapping
from typing import Any

from drasp.errors import kind_and_message

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""What training code calls the tensors that it saves beside other things."""


def tensors_in(found: Any) -> dict[str, Any]:
    """The tensors by name of what a file holds: a state dict, or something with one under a name of `HOLDERS`.

    Raises:
        ValueError: there are none.
    """
    import torch

    for name in HOLDERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping):
        raise ValueError(f"it holds {type(found).__name__}, not tensors by name")
    tensors = {str(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise ValueError(f"it holds no tensors by name, but {', '.join(map(str, list(found)[:5])) or 'nothing'}")
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def main(source: str, target: str) -> int:
    """Writes the weights as safetensors; says on standard error why it does not."""
    import torch
    from safetensors.torch import save_file

    try:
        save_file(tensors_in(torch.load(source, map_location="cpu", weights_only=True)), target)
    except Exception as error:
        print(kind_and_message(error)[:400], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
