"""The activations of MLPs, a record each: what it computes at every place where programs and models run. A new one is added here alone."""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, exp, pi, sqrt, tanh
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Activation:
    """An activation.

    Attributes:
        meaning: of one number, in plain Python.
        compute: of an array, in NumPy, which gives one of the same type.
        torch: the same of a tensor.
        python: a function of its name, for exported files, with `np` and `math` at hand.
        javascript: a function of a number, for the report.
    """

    meaning: Callable[[float], float]
    compute: Callable[[Array], Array]
    torch: Callable[["Tensor"], "Tensor"]
    python: str
    javascript: str


def gelu(x: Array) -> Array:
    """GELU in its tanh form, as in GPT-2 ("gelu_new")."""
    inner = np.asarray(x * x)
    inner *= 0.044715
    inner += 1
    inner *= x
    inner *= float(np.sqrt(2 / np.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= 0.5
    return inner


def _gelu_torch(x: "Tensor") -> "Tensor":
    from torch.nn.functional import gelu

    return gelu(x, approximate="tanh")


def _exact_gelu(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(x * (1 + erf(x * float(np.sqrt(0.5)))) / 2, x.dtype)


def _exact_gelu_torch(x: "Tensor") -> "Tensor":
    from torch.nn.functional import gelu

    return gelu(x)


def _silu(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(x * expit(x), x.dtype)


def _silu_torch(x: "Tensor") -> "Tensor":
    from torch.nn.functional import silu

    return silu(x)


_ERF = """\
  // The error function to 15 digits (the Chebyshev sum of erfc in Press et al., "Numerical Recipes", 3rd edition, 6.2.2).
  const c = [
    -1.3026537197817094, 6.4196979235649026e-1, 1.9476473204185836e-2, -9.561514786808631e-3, -9.46595344482036e-4, 3.66839497852761e-4,
    4.2523324806907e-5, -2.0278578112534e-5, -1.624290004647e-6, 1.303655835580e-6, 1.5626441722e-8, -8.5238095915e-8, 6.529054439e-9,
    5.059343495e-9, -9.91364156e-10, -2.27365122e-10, 9.6467911e-11, 2.394038e-12, -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13,
    3.81e-16, 7.106e-15, -1.523e-15, -9.4e-17, 1.21e-16, -2.8e-17,
  ];
  const z = Math.abs(x) * Math.SQRT1_2;
  const t = 2 / (2 + z);
  let [d, before] = [0, 0];
  for (let j = c.length - 1; j > 0; j--) [d, before] = [(4 * t - 2) * d - before + c[j], d];
  const erf = 1 - t * Math.exp(-z * z + 0.5 * (c[0] + (4 * t - 2) * d) - before);"""

ACTIVATIONS: dict[str, Activation] = {
    "gelu": Activation(
        lambda x: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))),
        gelu,
        _gelu_torch,
        '''\
def gelu(x):
    """GELU in its tanh form, as in GPT-2."""
    return 0.5 * (x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x * (1 + 0.044715 * (x * x))))))
''',
        "(x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * x * (1 + 0.044715 * x * x)))",
    ),
    "gelu_exact": Activation(
        lambda x: x / 2 * (1 + erf(x * sqrt(0.5))),
        _exact_gelu,
        _exact_gelu_torch,
        '''\
def gelu_exact(x):
    """GELU: x times the share of a normal distribution below x."""
    return x * (1 + np.vectorize(math.erf)(x * np.sqrt(0.5))) / 2
''',
        f"(x) => {{\n{_ERF}\n  return (x * (1 + Math.sign(x) * erf)) / 2;\n}}",
    ),
    "relu": Activation(
        lambda x: max(x, 0),
        lambda x: np.maximum(x, 0),
        lambda x: x.clamp(min=0),
        '''\
def relu(x):
    """The positive part."""
    return np.maximum(x, 0)
''',
        "(x) => Math.max(x, 0)",
    ),
    "silu": Activation(
        lambda x: x / (1 + exp(-x)) if x > -700 else 0.0,
        _silu,
        _silu_torch,
        '''\
def silu(x):
    """x times its logistic function."""
    return x / (1 + np.exp(-np.maximum(x, -700)))
''',
        "(x) => x / (1 + Math.exp(-x))",
    ),
}
