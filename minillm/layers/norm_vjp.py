"""The gradient of normalisation, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked, wide
from minillm.layers.shared import Scale, Vectors


@checked
def layer_norm_vjp(
    x: Vectors, scale: Scale, bias: Scale, eps: float = 1e-5
) -> tuple[Vectors, Callable[[Vectors], tuple[Vectors, Scale, Scale]]]:
    """`layer_norm` and its gradient, in the form of `jax.vjp`.

    Write u = c r with c = x - mean(x) and r = (mean(c^2) + eps)^(-1/2). As in `rms_norm_vjp` an upstream h of u
    is r (h - u mean(h u)) to c; and centring, its own transpose, takes the mean from that. For h = g * scale:
    dx = r (h - mean(h) - u mean(h u)),  dscale = sum over tokens of g u,  dbias = sum over tokens of g.

    >>> layer_norm_vjp(np.array([1.0, 3.0]), np.ones(2), np.zeros(2))[1](np.array([1.0, 1.0]))[2]
    array([1., 1.])
    """
    numbers = wide(x)
    centred = numbers - np.mean(numbers, axis=-1, keepdims=True)
    inverse_deviation = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    unit = centred * inverse_deviation

    def vjp(g: Vectors) -> tuple[Vectors, Scale, Scale]:
        g = wide(g)
        h = g * scale
        mean, along = np.mean(h, axis=-1, keepdims=True), np.mean(h * unit, axis=-1, keepdims=True)
        dx = inverse_deviation * (h - mean - unit * along)
        return dx.astype(x.dtype), _over_tokens(g * unit).astype(scale.dtype), _over_tokens(g).astype(bias.dtype)

    return (unit * scale + bias).astype(x.dtype), vjp


@checked
def rms_norm_vjp(
    x: Vectors, scale: Scale, eps: float = 1e-5
) -> tuple[Vectors, Callable[[Vectors], tuple[Vectors, Scale]]]:
    """`rms_norm` and its gradient, in the form of `jax.vjp`.

    Write u = x r with r = (mean(x^2) + eps)^(-1/2). Then dr/dx = -r^3 x / D, so for an upstream g and
    h = g * scale:  dx = r (h - u mean(h u)),  dscale = sum over tokens of g u.

    >>> rms_norm_vjp(np.array([3.0, 4.0]), np.ones(2), eps=0.0)[1](np.array([3.0, 4.0]))[0].round(4)
    array([0., 0.])
    """
    numbers = wide(x)
    inverse_rms = 1 / np.sqrt(np.mean(numbers * numbers, axis=-1, keepdims=True) + eps)
    unit = numbers * inverse_rms

    def vjp(g: Vectors) -> tuple[Vectors, Scale]:
        g = wide(g)
        h = g * scale
        dx = inverse_rms * (h - unit * np.mean(h * unit, axis=-1, keepdims=True))
        return dx.astype(x.dtype), _over_tokens(g * unit).astype(scale.dtype)

    return (unit * scale).astype(x.dtype), vjp


def _over_tokens(x: Vectors) -> Scale:
    return np.sum(x, axis=tuple(range(x.ndim - 1)))
