"""Activations: the bend between two linear layers, without which they would be one.

    gelu(x)      = x Phi(x),  Phi the normal distribution    [Hendrycks2016], section 2
    gelu_tanh(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))                    same place
    silu(x)      = x s(x),  s the logistic function          same paper; [Elfwing2017]

GPT-2 uses the tanh form, BERT the exact one, Llama silu.
"""

import math

import numpy as np

from minillm.axes import checked
from minillm.layers.shared import Numbers


@checked
def gelu(x: Numbers) -> Numbers:
    """x times the probability that a standard normal number is below x.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return x * normal_cdf(x)


@checked
def normal_cdf(x: Numbers) -> Numbers:
    """Phi(x), the probability that a standard normal number is below x.

    NumPy has no error function; Python's is exact to the last bit.

    >>> normal_cdf(np.array([-1.0, 0.0, 1.0])).round(4)
    array([0.1587, 0.5   , 0.8413])
    """
    return (1 + np.asarray(np.frompyfunc(math.erf, 1, 1)(x / math.sqrt(2)), x.dtype)) / 2


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
