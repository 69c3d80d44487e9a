"""A Transformer whose attention is given: what is left to find out is what its heads move, and who reads that."""

from collections.abc import Mapping

import torch
from torch import Tensor

from drasp.model.transformer import Transformer
from drasp.model.wired import Given, Run, WiredTransformer
from drasp.model.wiring import Receiver, Sender


class FrozenTransformer(WiredTransformer):
    """As a `WiredTransformer`, but what each head attends to is given; edges to queries and keys do nothing.

    Args:
        attention: for each head (batch, time, time), of the batch that is to be run.
    """

    def __init__(self, model: Transformer, device: torch.device | str = "cpu") -> None:
        super().__init__(model, device)
        self.attention: Mapping[Sender, Tensor] = {}

    def _attention(self, run: Run, layer: int, given: Given, count: int) -> None:
        block, heads = self.blocks[layer], self._live_heads(layer, given)
        if not heads:
            return
        read = block.before(run.stream([Receiver("value", layer, head) for head in heads], given.time), 0)
        values = torch.einsum("hbtd,hde->hbte", read, block.weights[2][heads]) + block.biases[2][heads]
        weights = torch.stack([self.attention[Sender("head", layer, head)][:, -count:] for head in heads])
        self._put_out(run, layer, heads, weights @ values)
