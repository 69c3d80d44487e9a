"""What a format is, and what all of them check."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.model.transformer import Transformer

Config = Mapping[str, Any]
Weights = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

ACTIVATIONS = {
    # Names that transformers and TransformerLens give to x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"), "gelu"),
    **dict.fromkeys(("gelu", "gelu_python"), "gelu_exact"),
    "relu": "relu",
    **dict.fromkeys(("silu", "swish"), "silu"),
}


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: in a sentence: "a GPT-2".
        architectures: what `architectures` in a configuration may name.
        reasons: why a configuration is not supported; where there is none, the sizes in it can be relied on.
        shapes: of every tensor by its name without prefixes.
        optional: which tensors may be missing.
        build: the description; its weights have these shapes.
        layers: the setting that says how many layers there are.
        tied: two tensors that are one and the same where a configuration says so; either may be missing.
        buffers: how the names of tensors end that are no weights.
        prefixes: what names may begin with that tells nothing.
        aliases: other names of tensors.
        renamed: other names of settings; where both stand, these count.
    """

    name: str
    architectures: tuple[str, ...]
    reasons: Callable[[Config], list[str]]
    shapes: Callable[[Config], Shapes]
    optional: Callable[[Config], Iterable[str]]
    build: Callable[[Config, Weights, str], Transformer]
    layers: str
    tied: Callable[[Config], tuple[str, str] | None] = lambda config: None
    buffers: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def load(self, config: Config, raw: Weights, sha256: str, source: str) -> Transformer:
        """The model.

        Raises:
            UnsupportedModelError: it cannot be decompiled; the message lists every reason.
        """
        try:
            return self._loaded(config, raw, sha256, source)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UnsupportedModelError(f"{source}: cannot be decompiled: a setting has a value that cannot be: {error}") from None

    def _loaded(self, config: Config, raw: Weights, sha256: str, source: str) -> Transformer:
        config = {**config, **{name: config[other] for name, other in self.renamed.items() if config.get(other) is not None}}
        reasons = [*_class_reasons(config, self), *self.reasons(config)]
        weights = self._named(raw, source)
        if not reasons:
            weights = self._untied(config, weights)
            reasons = self._weight_reasons(config, weights)
        if reasons:
            raise UnsupportedModelError(f"{source}: cannot be decompiled: {'; '.join(reasons)}")
        return self.build(config, weights, sha256)

    def _named(self, raw: Weights, source: str) -> dict[str, np.ndarray]:
        """The weights without the prefixes of their names."""
        found: dict[str, np.ndarray] = {}
        for name, tensor in raw.items():
            plain = without_prefix(name, self.prefixes)
            plain = self.aliases.get(plain, plain)
            if not plain.endswith(self.buffers) or not self.buffers:
                if plain in found:
                    raise UnsupportedModelError(f"{source}: tensor {plain} is there twice, under two prefixes")
                found[plain] = tensor
        return found

    def _untied(self, config: Config, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With both of two tied tensors."""
        tied = self.tied(config)
        for name, other in (tied, tied[::-1]) if tied else ():
            if name not in weights and other in weights:
                weights = weights | {name: weights[other]}
        return weights

    def _weight_reasons(self, config: Config, weights: Weights) -> list[str]:
        """Which tensors are missing, unknown, of the wrong shape or not finite, or not the same where they should be."""
        if config[self.layers] > len(weights):  # before the tensors of all these layers are listed
            return [f"{self.layers} is {config[self.layers]}, but there are only {len(weights)} tensors"]
        shapes, optional = self.shapes(config), set(self.optional(config))
        if not weights.keys() & shapes.keys():
            return [f"its tensors have other names than those of {self.name}: {_few(sorted(weights))}, not {_few([*shapes])}"]
        missing = [name for name in shapes if name not in weights and name not in optional]
        unknown = sorted(name for name in weights if name not in shapes)
        reasons = [f"tensor {name} is missing" for name in missing[:SAID]] + _more(missing, "are missing")
        reasons += [f"tensor {name} is no part of {self.name}" for name in unknown[:SAID]] + _more(unknown, "are no part of it")
        there = [name for name in shapes if name in weights]
        wrong = [name for name in there if weights[name].shape != shapes[name]]
        reasons += [f"tensor {name} has shape {weights[name].shape}, expected {shapes[name]}" for name in wrong[:SAID]]
        reasons += _more(wrong, "have other shapes too")
        broken = [name for name in there if not np.isfinite(weights[name]).all()]
        reasons += [f"tensor {name} holds NaN or infinite numbers" for name in broken[:SAID]] + _more(broken, "do too")
        tied = self.tied(config)
        if not reasons and tied and not np.array_equal(weights[tied[0]], weights[tied[1]]):
            reasons.append(f"tensors {tied[0]} and {tied[1]} differ, though the configuration says that they are tied")
        return reasons


SAID = 5
"""Tensors of which the same is said are named at the most."""


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def _more(names: list[str], what: str) -> list[str]:
    return [f"{len(names) - SAID} more {what}"] * (len(names) > SAID)


_WRAPPERS = ("module.", "_orig_mod.", "model.")


def without_prefix(name: str, prefixes: tuple[str, ...] = ()) -> str:
    """A tensor's name without what wrappers put before it: of several processes, of torch.compile, of a training class."""
    found = True
    while found:
        found = False
        for prefix in (*_WRAPPERS, *prefixes):
            if name.startswith(prefix):
                name, found = name.removeprefix(prefix), True
    return name


def _class_reasons(config: Config, kind: Format) -> list[str]:
    """A class of its own, whose forward pass is in no file that drasp could read."""
    reasons = []
    if config.get("auto_map"):
        reasons.append(f"auto_map names code of its own ({json.dumps(config['auto_map'])}); load the model and give drasp the object")
    named = config.get("architectures")
    if named and not (isinstance(named, list) and all(name in kind.architectures for name in named)):
        reasons.append(f"architectures is {json.dumps(named)}, not {' or '.join(kind.architectures)}")
    return reasons


def size_reasons(config: Config, names: Iterable[str]) -> list[str]:
    """The sizes that are no positive integers."""
    wrong = [name for name in names if type(config.get(name)) is not int or config[name] < 1]
    return [f"{name} is {json.dumps(config.get(name))}, not a positive integer" for name in wrong]


def division_reasons(config: Config, whole: str, parts: str) -> list[str]:
    """A size that another does not divide; where one of them is no size, that is said elsewhere."""
    if size_reasons(config, (whole, parts)) or config[whole] % config[parts] == 0:
        return []
    return [f"{whole} {config[whole]} is not divisible by {parts} {config[parts]}"]


def number_reasons(config: Config, name: str, default: float) -> list[str]:
    """A number that is not positive."""
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        return [f"{name} is {json.dumps(value)}, not a positive number"]
    return []


def activation_reasons(config: Config, name: str, default: str) -> list[str]:
    """An activation that drasp has not."""
    value = config.get(name, default)
    return (
        [] if isinstance(value, str) and value in ACTIVATIONS else [f"{name} is {json.dumps(value)}, not one of {', '.join(ACTIVATIONS)}"]
    )


def off_reasons(config: Config, off: Mapping[str, object], what: str) -> list[str]:
    """Settings that the format as drasp knows it has not, each with the value that says so."""
    return [
        f"{name} is {json.dumps(config[name])}, which {what} has not" for name, value in off.items() if config.get(name, value) != value
    ]


def with_bias(name: str, shape: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a weight and of its bias."""
    return {f"{name}.weight": shape, f"{name}.bias": (outputs,)}


def per_head(array: np.ndarray, heads: int) -> np.ndarray:
    """(..., H * Dh) -> (H, ..., Dh)."""
    return np.ascontiguousarray(np.moveaxis(array.reshape(*array.shape[:-1], heads, -1), -2, 0))


def shared_heads(array: np.ndarray, heads: int) -> np.ndarray:
    """Keys or values (fewer heads, ...) that groups of heads share, one for each head."""
    return np.repeat(array, heads // len(array), axis=0)
