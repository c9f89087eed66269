"""Losses, jitted: `minillm.reference.losses` for CPU, GPU and TPU. JAX derives the gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.accelerated.softmax import log_softmax
from minillm.accelerated.transformer import Params, transformer_with_auxiliary_loss
from minillm.axes import Tokens, checked, wide
from minillm.config import Config
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


@checked
def language_model_loss(params: Params, tokens: Tokens, labels: Labels, config: Config) -> Loss:
    """As the reference."""
    logits, auxiliary = transformer_with_auxiliary_loss(params, tokens, config)
    return cross_entropy(logits, labels) + auxiliary


@jax.jit
def _cross_entropy(logits: Logits, labels: Labels) -> Loss:
    labels = labels.astype(jnp.int32)  # unsigned ones have no -100
    counted, known = labels != IGNORED, (labels >= 0) & (labels < logits.shape[-1])
    log_shares = log_softmax(jnp.where(counted[..., None], wide(logits), 0))
    picked = jnp.take_along_axis(log_shares, jnp.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    total = jnp.sum(jnp.where(counted, -jnp.where(known, picked, jnp.nan), 0))
    return (total / jnp.maximum(jnp.sum(counted), 1).astype(total.dtype)).astype(logits.dtype)


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
