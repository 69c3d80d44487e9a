"""The MLP of a layer, ready to run."""

from typing import TYPE_CHECKING

from drasp.ir.activations import ACTIVATIONS
from drasp.model.transformer import FeedForward

if TYPE_CHECKING:
    from torch import Tensor


class TorchMlp:
    """Without the norm before it.

    Args:
        like: of the type wanted, and where that is.
    """

    def __init__(self, given: FeedForward, like: "Tensor") -> None:
        self.w_in, self.b_in, self.w_out, self.b_out = (like.new_tensor(w) for w in (given.w_in, given.b_in, given.w_out, given.b_out))
        self.gate = (like.new_tensor(given.w_gate), like.new_tensor(given.b_gate)) if given.gated else None
        self.act = ACTIVATIONS[given.activation].torch

    def __call__(self, x: "Tensor") -> "Tensor":
        hidden = x @ self.w_in + self.b_in
        hidden = self.act(hidden) if self.gate is None else self.act(x @ self.gate[0] + self.gate[1]) * hidden
        return hidden @ self.w_out + self.b_out
