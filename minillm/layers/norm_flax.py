"""Normalisation as Flax modules; with the same scale they equal `nnx.RMSNorm` and `nnx.LayerNorm`."""

import jax.numpy as jnp
from flax import nnx

from minillm.layers.norm_jax import layer_norm, rms_norm
from minillm.layers.shared import Vectors


class RMSNorm(nnx.Module):
    """Holds the scale of `rms_norm`.

    >>> [round(float(number), 4) for number in RMSNorm(2, rngs=nnx.Rngs(0))(jnp.array([3.0, 4.0]))]
    [0.8485, 1.1314]
    """

    def __init__(self, dim: int, eps: float = 1e-5, *, rngs: nnx.Rngs):
        """Begin with a scale of 1; nothing is drawn."""
        self.scale = nnx.Param(jnp.ones(dim))
        self.eps = eps

    def __call__(self, x: Vectors) -> Vectors:
        """As `rms_norm`."""
        return rms_norm(x, self.scale[...], self.eps)


class LayerNorm(nnx.Module):
    """Holds the scale and bias of `layer_norm`.

    >>> [round(float(number), 4) for number in LayerNorm(2, rngs=nnx.Rngs(0))(jnp.array([1.0, 3.0]))]
    [-1.0, 1.0]
    """

    def __init__(self, dim: int, eps: float = 1e-5, *, rngs: nnx.Rngs):
        """Begin with a scale of 1 and a bias of 0; nothing is drawn."""
        self.scale, self.bias = nnx.Param(jnp.ones(dim)), nnx.Param(jnp.zeros(dim))
        self.eps = eps

    def __call__(self, x: Vectors) -> Vectors:
        """As `layer_norm`."""
        return layer_norm(x, self.scale[...], self.bias[...], self.eps)
