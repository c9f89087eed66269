"""Activations: the bend between two linear layers, without which they would be one.

    gelu(x)      = x Phi(x),  Phi the normal distribution    (Hendrycks & Gimpel 2016, section 2)
    gelu_tanh(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))                    (same place)
    silu(x)      = x s(x),  s the logistic function          (same paper; Elfwing et al. 2017)

GPT-2 uses the tanh form, BERT the exact one, Llama silu.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked

Numbers = Float[Any, "*batch"]
Gradient = tuple[Numbers, Callable[[Numbers], tuple[Numbers]]]

_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no error function; Python's is exact to the last bit


@checked
def gelu(x: Numbers) -> Numbers:
    """x times the chance that a standard normal number is below x.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    below = (1 + np.asarray(_erf(x / math.sqrt(2)), x.dtype)) / 2
    return x * below


@checked
def gelu_tanh(x: Numbers) -> Numbers:
    """The approximation of `gelu` from a time when erf was slow; off by at most 5e-4.

    >>> gelu_tanh(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1588,  0.    ,  0.8412])
    """
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@checked
def silu(x: Numbers) -> Numbers:
    """x times the logistic function of x, which is (1 + tanh(x/2)) / 2: no exp, so nothing overflows.

    >>> silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    return x * ((1 + np.tanh(x / 2)) / 2)
