"""Losses in JAX. What differs: inside `jax.jit` a label outside the vocabulary cannot be refused, and gives NaN."""

import jax.numpy as jnp

from minillm.axes import checked, wide
from minillm.layers.shared import IGNORED, Labels, Logits, Loss, check_labels
from minillm.layers.softmax_jax import log_softmax


@checked
def cross_entropy(logits: Logits, labels: Labels) -> Loss:
    """As the reference."""
    check_labels(labels, logits.shape[-1])
    labels = jnp.asarray(labels, jnp.int32)  # unsigned ones have no -100
    counted = labels != IGNORED
    log_probabilities = log_softmax(jnp.where(counted[..., None], wide(logits), 0))
    known = (labels >= 0) & (labels < logits.shape[-1])
    picked = jnp.take_along_axis(log_probabilities, jnp.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    unknown = counted & ~known
    total = jnp.sum(jnp.where(counted, -picked * jnp.where(unknown, jnp.nan, 1).astype(picked.dtype), 0))
    return (total / jnp.maximum(jnp.sum(counted), 1).astype(total.dtype)).astype(logits.dtype)
