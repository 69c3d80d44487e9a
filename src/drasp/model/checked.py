"""Whether a model in memory computes what its description computes, on a few random sequences; if not, where the difference begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drasp.errors import UnsupportedModelError, kind_and_message
from drasp.model.forward import TorchTransformer
from drasp.model.modes import own_modes
from drasp.model.places import Places
from drasp.model.transformer import Transformer

SEQUENCES, LONGEST = 4, 64
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}
"""Of the largest value that is compared. Parts of models of double precision compute in single precision."""

Step = str
Values = dict[Step, Tensor]
"""By the step, in order: `embedding`, `attention 0`, `mlp 0`, `layer 0`, ..., `norm`, `output`; (batch, time, D) each."""


@own_modes()
def check_same(model: nn.Module, found: Transformer, places: Places, name: str) -> None:
    """Compares the two.

    Raises:
        UnsupportedModelError: they differ; it says where the difference begins.
    """
    rng = np.random.default_rng(0)
    like = next(model.parameters()).detach()
    if like.dtype not in TOLERANCE:  # half precision is too coarse to tell models apart: what it holds is run in single precision
        model, like = deepcopy(model).float(), like.float()
    shape = (SEQUENCES, min(found.positions, LONGEST))
    tokens = torch.from_numpy(rng.integers(0, found.vocabulary_size, shape)).to(like.device)
    theirs = _their_values(model, tokens, places, len(found.blocks), name)
    mine = TorchTransformer(found, torch.float64).steps(tokens.cpu())
    share = TOLERANCE[like.dtype]
    logits = theirs["output"]
    if _off(logits, mine["output"][:, -logits.shape[1] :], share) is None:
        return
    for step, value in mine.items():
        off = _off(theirs[step], value[:, -theirs[step].shape[1] :], share) if step in theirs else None
        if off is not None:
            raise UnsupportedModelError(
                f"{name}: its own forward pass is not that of the model that its weights and its configuration describe: from "
                f"{_words(step)} on it differs, by {off[0]:.2g} where values are {off[1]:.2g} at the most; describe it with "
                "drasp.Transformer(...), or undo what was changed"
            )


def _off(theirs: Tensor, mine: Tensor, share: float) -> tuple[float, float] | None:
    """By how much they differ, and the largest value; None where they are the same."""
    if theirs.shape != mine.shape:
        return float("nan"), float("nan")
    largest = float(mine.abs().max())
    off = float((theirs.double().cpu() - mine).abs().max())
    return None if off <= share * max(largest, 1e-6) else (off, largest)


def _words(step: Step) -> str:
    kind, _, layer = step.partition(" ")
    return {"embedding": "the embedding", "norm": "the final norm", "output": "the output"}.get(kind) or {
        "attention": f"the attention of layer {layer}",
        "mlp": f"the MLP of layer {layer}",
        "layer": f"the end of layer {layer}",
    }[kind]


@torch.no_grad()
def _their_values(model: nn.Module, tokens: Tensor, places: Places, layers: int, name: str) -> Values:
    """What the model's own forward pass computes, at every place that is found."""
    found: Values = {}
    handles: list[Any] = []

    def watch(path: str, step: Step, incoming: bool = False) -> None:
        module = _module(model, path)
        if module is None:
            return
        if incoming:
            before = module.register_forward_pre_hook
            handles.append(before(lambda _, args, named: _note(found, step, (*args, *named.values())), with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(lambda _, args, output: _note(found, step, output)))

    watch(places.first, "embedding", incoming=True)
    for layer in range(layers):
        for kind in ("attention", "mlp", "layer"):
            watch(getattr(places, kind).format(layer), f"{kind} {layer}")
    watch(places.norm, "norm")
    try:
        with _evaluating(model):
            output = model(tokens)
    except Exception as error:
        raise UnsupportedModelError(f"{name}: its forward pass failed on random tokens: {kind_and_message(error)}") from None
    finally:
        for handle in handles:
            handle.remove()
    _note(found, "output", getattr(output, "logits", output))
    return found


def _note(found: Values, step: Step, value: Any) -> None:
    """The first tensor of what goes in or out, as it is then: what comes after may change it in place."""
    tensor = next((v for v in (value if isinstance(value, tuple | list) else (value,)) if isinstance(v, Tensor)), None)
    if tensor is not None:
        found[step] = tensor.detach().clone()


def _module(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; each module is left as it was."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was
