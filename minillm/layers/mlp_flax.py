"""The feed-forward layer as Flax modules; with the same weights they equal `nnx.Linear` layers in a row."""

import jax.numpy as jnp
from flax import nnx

from minillm.layers.mlp_jax import mlp, swiglu
from minillm.layers.modules_flax import random_matrix
from minillm.layers.shared import Vectors


class MLP(nnx.Module):
    """Holds the weights of `mlp`, with biases.

    >>> MLP(3, 5, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 3)
    """

    def __init__(self, model_dim: int, ffn_dim: int, *, rngs: nnx.Rngs):
        """Draw both matrices; the biases are 0."""
        self.up, self.down = random_matrix(rngs, model_dim, ffn_dim), random_matrix(rngs, ffn_dim, model_dim)
        self.up_bias, self.down_bias = nnx.Param(jnp.zeros(ffn_dim)), nnx.Param(jnp.zeros(model_dim))

    def __call__(self, x: Vectors) -> Vectors:
        """As `mlp`."""
        return mlp(x, self.up[...], self.down[...], self.up_bias[...], self.down_bias[...])


class SwiGLU(nnx.Module):
    """Holds the matrices of `swiglu`.

    >>> SwiGLU(3, 5, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 3)
    """

    def __init__(self, model_dim: int, ffn_dim: int, *, rngs: nnx.Rngs):
        """Draw the three matrices."""
        self.gate, self.up = (random_matrix(rngs, model_dim, ffn_dim) for _ in range(2))
        self.down = random_matrix(rngs, ffn_dim, model_dim)

    def __call__(self, x: Vectors) -> Vectors:
        """As `swiglu`."""
        return swiglu(x, self.gate[...], self.up[...], self.down[...])
