"""Normalisation in JAX. What differs: scale and bias are widened by hand, as JAX mixes no dtypes."""

import jax
import jax.numpy as jnp

from minillm.axes import checked, wide
from minillm.layers.shared import Scale, Vectors


@jax.jit
@checked
def layer_norm(x: Vectors, scale: Scale, bias: Scale, eps: float = 1e-5) -> Vectors:
    """As the reference."""
    numbers = wide(x)
    centred = numbers - jnp.mean(numbers, axis=-1, keepdims=True)
    inverse_deviation = 1 / jnp.sqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    return (centred * inverse_deviation * wide(scale) + wide(bias)).astype(x.dtype)


@jax.jit
@checked
def rms_norm(x: Vectors, scale: Scale, eps: float = 1e-5) -> Vectors:
    """As the reference."""
    numbers = wide(x)
    inverse_rms = 1 / jnp.sqrt(jnp.mean(numbers * numbers, axis=-1, keepdims=True) + eps)
    return (numbers * inverse_rms * wide(scale)).astype(x.dtype)
