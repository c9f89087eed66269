"""Softmax and cross-entropy, in JAX.

The same two functions, under jit and vmap: no loop over positions, no `if` on a computed number.
"""

import jax.numpy as jnp

IGNORED = -100  # a label that counts for nothing: padding


def softmax(scores):
    """Probabilities exp(z_i) / sum_j exp(z_j) along {AXIS}, with the shape and dtype of `scores`."""
    # BEGIN SOLUTION
    exponentials = jnp.exp(scores - scores.max(axis=AXIS, keepdims=True))
    return exponentials / exponentials.sum(axis=AXIS, keepdims=True)
    # END SOLUTION


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label] over the positions whose label is not IGNORED; 0.0 if there
    are none.

    `logits` is (positions, classes), whatever the axis of softmax above; `labels` is (positions,),
    whole numbers.
    """
    # BEGIN SOLUTION
    counted = labels != IGNORED
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - jnp.log(jnp.exp(shifted).sum(axis=1, keepdims=True))
    picked = jnp.take_along_axis(log_probabilities, jnp.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return jnp.where(counted, -picked, 0.0).sum() / jnp.maximum(counted.sum(), 1)
    # END SOLUTION
