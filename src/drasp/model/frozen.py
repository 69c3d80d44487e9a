"""A Transformer whose attention is given: what is left to find out is what its heads move, and who reads that."""

from collections.abc import Mapping

import torch
from torch import Tensor

from drasp.model.transformer import Transformer
from drasp.model.wired import Run, WiredTransformer, norm
from drasp.model.wiring import Receiver, Sender


class FrozenTransformer(WiredTransformer):
    """As a `WiredTransformer`, but what each head attends to is given; edges to queries and keys do nothing.

    Args:
        attention: for each head (batch, time, time), of the batch that is to be run.
    """

    def __init__(self, model: Transformer, device: torch.device | str = "cpu") -> None:
        super().__init__(model, device)
        self.attention: Mapping[Sender, Tensor] = {}

    def _attention(self, run: Run, layer: int, live: frozenset[Sender], time: int, count: int) -> list[Tensor | None]:
        block = self.blocks[layer]
        heads = [head for head in range(self.heads) if Sender("head", layer, head) in live]
        found: list[Tensor | None] = [None] * self.heads
        if not heads:
            return found
        read = norm(run.stream([Receiver("value", layer, head) for head in heads], time), block.norms[0])
        values = torch.einsum("hbtd,hde->hbte", read, block.weights[2][heads]) + block.biases[2][heads]
        weights = torch.stack([self.attention[Sender("head", layer, head)][:, -count:] for head in heads])
        for head, out in zip(heads, torch.einsum("hbte,hed->hbtd", weights @ values, block.out[heads]), strict=True):
            found[head] = out
        return found
