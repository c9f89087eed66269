"""Activations, jitted: `minillm.layers.activations` for CPU, GPU and TPU."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import checked

Numbers = Float[Any, "*batch"]


@jax.jit
@checked
def gelu(x: Numbers) -> Numbers:
    """As the reference; XLA has an error function of its own."""
    below = (1 + jax.lax.erf(x / math.sqrt(2))) / 2
    return x * below


@jax.jit
@checked
def gelu_tanh(x: Numbers) -> Numbers:
    """As the reference."""
    return x / 2 * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@jax.jit
@checked
def silu(x: Numbers) -> Numbers:
    """As the reference; XLA has the logistic function as one operation."""
    return x * jax.lax.logistic(x)
