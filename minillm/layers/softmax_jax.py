"""Softmax in JAX. What differs: no gradient goes through the maximum, which changes nothing."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool

from minillm.axes import checked, wide
from minillm.layers.shared import Scores


@jax.jit
@checked
def softmax(scores: Scores) -> Scores:
    """As the reference."""
    numbers = wide(scores)
    powers = jnp.exp(numbers - jax.lax.stop_gradient(jnp.max(numbers, axis=-1, keepdims=True)))
    return (powers / jnp.sum(powers, axis=-1, keepdims=True)).astype(scores.dtype)


@jax.jit
@checked
def masked_softmax(scores: Scores, mask: Bool[Any, "..."]) -> Scores:
    """As the reference; the gradient, too, is 0 (and never NaN) in masked places and rows."""
    masked = jnp.where(mask, wide(scores), -jnp.inf)
    largest = jax.lax.stop_gradient(jnp.max(masked, axis=-1, keepdims=True))
    powers = jnp.exp(masked - jnp.where(jnp.isneginf(largest), 0, largest))
    total = jnp.sum(powers, axis=-1, keepdims=True)
    return (powers / jnp.where(total == 0, 1, total)).astype(scores.dtype)


@jax.jit
@checked
def log_softmax(scores: Scores) -> Scores:
    """As the reference."""
    numbers = wide(scores)
    shifted = numbers - jax.lax.stop_gradient(jnp.max(numbers, axis=-1, keepdims=True))
    return (shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis=-1, keepdims=True))).astype(scores.dtype)
