"""Cross-entropy whose backward pass keeps nothing of the logits' size beside the logits themselves.

With V tokens in the vocabulary the logits are the largest array of a training step; JAX's own gradient of
`minillm.layers.losses_jax` would keep their logarithms as well.
"""

from typing import Any

import jax
import jax.numpy as jnp

from minillm.axes import checked, wide
from minillm.layers.shared import IGNORED, Labels, Logits, Loss, check_labels


@checked
def cross_entropy(logits: Logits, labels: Labels) -> Loss:
    """As `minillm.layers.losses_jax`."""
    check_labels(labels, logits.shape[-1])
    return _cross_entropy(logits, labels)


@jax.custom_vjp
@jax.jit
def _cross_entropy(logits: Logits, labels: Labels) -> Loss:
    return _forward(logits, labels)[0]


def _forward(logits: Logits, labels: Labels) -> tuple[Loss, Any]:
    labels = labels.astype(jnp.int32)  # unsigned ones have no -100
    counted, valid = labels != IGNORED, (labels >= 0) & (labels < logits.shape[-1])
    largest = jnp.max(wide(logits), axis=-1, keepdims=True)
    powers = jnp.exp(wide(logits) - largest)
    log_sum = jnp.log(jnp.sum(powers, axis=-1, keepdims=True))
    picked = jnp.take_along_axis(logits, jnp.where(valid, labels, 0)[..., None], axis=-1)
    costs = jnp.where(valid, (log_sum - (wide(picked) - largest))[..., 0], jnp.nan)
    total = jnp.sum(jnp.where(counted, costs, 0))
    loss = (total / jnp.maximum(jnp.sum(counted), 1).astype(total.dtype)).astype(logits.dtype)
    return loss, (logits, labels, largest, log_sum)


def _backward(saved: Any, g: Loss) -> tuple[Logits, None]:
    """As the reference's gradient, in one pass over the logits."""
    logits, labels, largest, log_sum = saved
    counted, valid = labels != IGNORED, (labels >= 0) & (labels < logits.shape[-1])
    weight = wide(g) / jnp.maximum(jnp.sum(counted), 1).astype(wide(g).dtype)
    factor = jnp.where(valid, weight, jnp.nan)[..., None]
    probabilities = jnp.exp(wide(logits) - largest - log_sum)
    is_label = labels[..., None] == jnp.arange(logits.shape[-1], dtype=labels.dtype)
    dlogits = jnp.where(counted[..., None], (probabilities - is_label.astype(probabilities.dtype)) * factor, 0)
    return dlogits.astype(logits.dtype), None


_cross_entropy.defvjp(_forward, _backward)
