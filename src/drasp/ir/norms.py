"""The norms that stand before what reads a residual stream, a record each. All that differs between them is said here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NormKind:
    """x -> (x - mean) / sqrt(mean of squares + eps) * gain + shift, or less than that.

    Attributes:
        centred: whether the mean is taken away.
        scaled: whether what is left is divided, and then multiplied by a gain, and shifted.
        words: in a sentence.
    """

    centred: bool
    scaled: bool
    words: str


NORMS: dict[str, NormKind] = {
    "layer": NormKind(True, True, "the LayerNorm"),
    "rms": NormKind(False, True, "the RMSNorm"),
    "none": NormKind(False, False, "no norm"),
}
"""By the name that they have in a program (Ba et al., "Layer normalization", 2016; Zhang and Sennrich, "Root mean square layer
normalization", 2019).
"""
