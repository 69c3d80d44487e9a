"""The norms of a Transformer, with their weights."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drasp.ir.norms import NORMS, NormKind
from drasp.model.parts.arrays import array_or, left_out

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """No norm: what is read is the stream itself.

    Attributes:
        gain, shift: (D); left out, 1 and 0.
        eps: added under the root.
    """

    name: ClassVar[str] = "none"
    gain: np.ndarray = field(default_factory=left_out)
    shift: np.ndarray = field(default_factory=left_out)
    eps: float = 0.0

    @property
    def kind(self) -> NormKind:
        return NORMS[self.name]

    def of_width(self, width: int, what: str) -> "Norm":
        """With its weights as arrays; refused where they are of another width."""
        gain = array_or(self.gain, f"the gain of {what}", (width,), 1.0)
        return replace(self, gain=gain, shift=array_or(self.shift, f"the shift of {what}", (width,)), eps=float(self.eps))

    def linear(self, rows: np.ndarray) -> np.ndarray:
        """The linear part, of rows (n, D): centring, then the gain."""
        return (rows - rows.mean(axis=-1, keepdims=True) if self.kind.centred else rows) * self.gain


@dataclass(frozen=True)
class LayerNorm(Norm):
    """x -> (x - mean) / sqrt(variance + eps) * gain + shift (Ba et al., "Layer normalization", 2016)."""

    name: ClassVar[str] = "layer"
    eps: float = 1e-5


@dataclass(frozen=True)
class RMSNorm(Norm):
    """x -> x / sqrt(mean of squares + eps) * gain + shift (Zhang and Sennrich, "Root mean square layer normalization", 2019)."""

    name: ClassVar[str] = "rms"
    eps: float = 1e-6


class TorchNorm:
    """A norm ready to run, on tensors (..., D)."""

    def __init__(self, norm: Norm, like: "Tensor") -> None:
        """With the type of `like`, and where that is."""
        self.kind, self.eps = norm.kind, norm.eps
        self.gain, self.shift = (like.new_tensor(part) for part in (norm.gain, norm.shift))

    def __call__(self, x: "Tensor") -> "Tensor":
        from torch.nn.functional import layer_norm

        if not self.kind.scaled:
            return x
        if self.kind.centred:
            return layer_norm(x, self.gain.shape, self.gain, self.shift, self.eps)
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.gain + self.shift
