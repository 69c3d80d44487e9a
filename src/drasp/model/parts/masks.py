"""What a position attends to at all."""

from typing import TYPE_CHECKING

from drasp.model.transformer import Transformer

if TYPE_CHECKING:
    from torch import Tensor


class Seen:
    """Which keys the queries of a model see: those up to themselves, or all but padding."""

    def __init__(self, model: Transformer) -> None:
        self.causal, self.padding = model.attention == "causal", model.padding

    def mask(self, token_ids: "Tensor", queries: int) -> "Tensor | None":
        """For the last `queries` positions of (batch, time): (batch or 1, 1, queries or 1, time) booleans; None for all positions of a
        causal model, which need none. A sequence that is padding alone sees all.
        """
        time = token_ids.shape[1]
        if not self.causal:
            real = token_ids != (-1 if self.padding is None else self.padding)
            return (real | ~real.any(1, keepdim=True))[:, None, None, :]
        if queries == time:
            return None
        return token_ids.new_ones(queries, time).bool().tril(time - queries)[None, None]

    def read(self, token_ids: "Tensor", scored: "Tensor") -> "Tensor":
        """The positions that the scored ones may read, (batch, time) booleans: up to the last of them, or all but padding."""
        if self.causal:
            return scored.flip(1).cumsum(1).flip(1) > 0
        return token_ids != (-1 if self.padding is None else self.padding)
