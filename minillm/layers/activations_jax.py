"""Activations in JAX. What differs: XLA has an error function, and the logistic function, as one operation."""

import math

import jax
import jax.numpy as jnp

from minillm.axes import checked
from minillm.layers.shared import Numbers


@jax.jit
@checked
def gelu(x: Numbers) -> Numbers:
    """As the reference."""
    return x * normal_cdf(x)


@jax.jit
@checked
def normal_cdf(x: Numbers) -> Numbers:
    """As the reference."""
    return (1 + jax.lax.erf(x / math.sqrt(2))) / 2


@jax.jit
@checked
def gelu_tanh(x: Numbers) -> Numbers:
    """As the reference."""
    return x / 2 * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@jax.jit
@checked
def silu(x: Numbers) -> Numbers:
    """As the reference."""
    return x * jax.lax.logistic(x)
