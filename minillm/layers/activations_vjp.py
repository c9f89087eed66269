"""The gradient of activations, by hand."""

import math
from collections.abc import Callable

import numpy as np

from minillm.axes import checked
from minillm.layers.activations import normal_cdf
from minillm.layers.shared import Numbers

Gradient = tuple[Numbers, Callable[[Numbers], tuple[Numbers]]]


@checked
def gelu_vjp(x: Numbers) -> Gradient:
    """`gelu` and its gradient, in the form of `jax.vjp`.

    By the product rule (x Phi)' = Phi + x phi, where phi = Phi' is the normal density exp(-x^2/2) / sqrt(2 pi).

    >>> gelu_vjp(np.array([0.0, 1.0]))[1](np.ones(2))[0].round(4)
    array([0.5   , 1.0833])
    """
    below = normal_cdf(x)
    density = np.exp(-x / 2 * x) / math.sqrt(2 * math.pi)
    return x * below, lambda g: (g * (below + x * density),)


@checked
def gelu_tanh_vjp(x: Numbers) -> Gradient:
    """`gelu_tanh` and its gradient, in the form of `jax.vjp`.

    Write t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3). Since tanh' = 1 - tanh^2,
    (x/2 (1 + t))' = (1 + t)/2 + x/2 (1 - t^2) u',  u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2).

    >>> gelu_tanh_vjp(np.array([0.0, 1.0]))[1](np.ones(2))[0].round(4)
    array([0.5  , 1.083])
    """
    bend = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))

    def vjp(g: Numbers) -> tuple[Numbers]:
        inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return (g * ((1 + bend) / 2 + x / 2 * (1 - bend * bend) * inner_slope),)

    return x / 2 * (1 + bend), vjp


@checked
def silu_vjp(x: Numbers) -> Gradient:
    """`silu` and its gradient: since s' = s (1 - s),  (x s)' = s + x s (1 - s).

    >>> silu_vjp(np.array([0.0, 1.0]))[1](np.ones(2))[0].round(4)
    array([0.5   , 0.9277])
    """
    logistic = (1 + np.tanh(x / 2)) / 2
    return x * logistic, lambda g: (g * logistic * (1 + x * (1 - logistic)),)
