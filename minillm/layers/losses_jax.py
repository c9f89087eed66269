"""Losses, jitted: `minillm.layers.losses` for CPU, GPU and TPU."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.errors import InputError

Logits = Float[Any, "*batch T V"]
Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]

IGNORED = -100


@checked
def cross_entropy(logits: Logits, labels: Labels) -> Loss:
    """As the reference, where the labels are known; inside `jit` one outside the vocabulary gives NaN."""
    _check_labels(labels, logits.shape[-1])
    return _cross_entropy(logits, labels)


@jax.custom_vjp
@jax.jit
def _cross_entropy(logits: Logits, labels: Labels) -> Loss:
    return _forward(logits, labels)[0]


def _forward(logits: Logits, labels: Labels) -> tuple[Loss, Any]:
    labels = labels.astype(jnp.int32)  # unsigned ones have no -100
    counted, known = labels != IGNORED, (labels >= 0) & (labels < logits.shape[-1])
    largest = jnp.max(wide(logits), axis=-1, keepdims=True)
    powers = jnp.exp(wide(logits) - largest)
    log_sum = jnp.log(jnp.sum(powers, axis=-1, keepdims=True))
    picked = jnp.take_along_axis(logits, jnp.where(known, labels, 0)[..., None], axis=-1)
    costs = jnp.where(known, (log_sum - (wide(picked) - largest))[..., 0], jnp.nan)
    total = jnp.sum(jnp.where(counted, costs, 0))
    loss = (total / jnp.maximum(jnp.sum(counted), 1).astype(total.dtype)).astype(logits.dtype)
    return loss, (logits, labels, largest, log_sum)


def _backward(saved: Any, g: Loss) -> tuple[Logits, None]:
    """As the reference, in one pass over the logits; nothing else of their size is kept."""
    logits, labels, largest, log_sum = saved
    counted, known = labels != IGNORED, (labels >= 0) & (labels < logits.shape[-1])
    share = wide(g) / jnp.maximum(jnp.sum(counted), 1).astype(wide(g).dtype)
    factor = jnp.where(known, share, jnp.nan)[..., None]
    shares = jnp.exp(wide(logits) - largest - log_sum)
    is_label = labels[..., None] == jnp.arange(logits.shape[-1], dtype=labels.dtype)
    dlogits = jnp.where(counted[..., None], (shares - is_label.astype(shares.dtype)) * factor, 0)
    return dlogits.astype(logits.dtype), None


_cross_entropy.defvjp(_forward, _backward)


def _check_labels(labels: Labels, vocab_size: int) -> None:
    if isinstance(labels, jax.core.Tracer):
        return
    labels = np.asarray(labels)
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= vocab_size))]
    if wrong.size:
        raise InputError(
            f"cross_entropy: label {wrong[0]} is outside the vocabulary of {vocab_size}; "
            f"write {IGNORED} where there is none."
        )
