"""Normalisation, jitted: `minillm.layers.norm` for CPU, GPU and TPU."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import checked, wide

Vectors = Float[Any, "*batch D"]
Scale = Float[Any, "D"]


@jax.jit
@checked
def layer_norm(x: Vectors, scale: Scale, bias: Scale, eps: float = 1e-5) -> Vectors:
    """As the reference; bfloat16 vectors are normalised in float32."""
    numbers = wide(x)
    centred = numbers - jnp.mean(numbers, axis=-1, keepdims=True)
    inverse_deviation = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    return (centred * inverse_deviation * wide(scale) + wide(bias)).astype(x.dtype)


@jax.jit
@checked
def rms_norm(x: Vectors, scale: Scale, eps: float = 1e-5) -> Vectors:
    """As the reference; bfloat16 vectors are normalised in float32."""
    numbers = wide(x)
    inverse_rms = jax.lax.rsqrt(jnp.mean(numbers * numbers, axis=-1, keepdims=True) + eps)
    return (numbers * inverse_rms * wide(scale)).astype(x.dtype)
