"""Normalisation: keep the size of a vector in hand, layer after layer.

    layer_norm(x) = (x - mean(x)) / sqrt(var(x) + eps) * scale + bias   [Ba2016], eq. 4
    rms_norm(x)   = x / sqrt(mean(x^2) + eps) * scale                   [Zhang2019], eq. 4

Our `scale` is the papers' gain g. The mean is over the last axis only, so every token is normalised by
itself and nothing leaks between tokens.
"""

import numpy as np

from minillm.axes import checked, wide
from minillm.layers.shared import Scale, Vectors


@checked
def layer_norm(x: Vectors, scale: Scale, bias: Scale, eps: float = 1e-5) -> Vectors:
    """Centre each vector, divide by its standard deviation, then stretch and shift each coordinate.

    >>> layer_norm(np.array([1.0, 3.0]), np.ones(2), np.zeros(2), eps=0.0)
    array([-1.,  1.])
    """
    numbers = wide(x)
    centred = numbers - np.mean(numbers, axis=-1, keepdims=True)
    inverse_deviation = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    return (centred * inverse_deviation * scale + bias).astype(x.dtype)


@checked
def rms_norm(x: Vectors, scale: Scale, eps: float = 1e-5) -> Vectors:
    """Divide each vector by its root mean square, then stretch each coordinate.

    >>> rms_norm(np.array([3.0, 4.0]), np.ones(2), eps=0.0).round(4)
    array([0.8485, 1.1314])
    """
    numbers = wide(x)
    inverse_rms = 1 / np.sqrt(np.mean(numbers * numbers, axis=-1, keepdims=True) + eps)
    return (numbers * inverse_rms * scale).astype(x.dtype)
