"""Losses: one number that says how wrong a model is, and whose gradient says which way is better.

    cross_entropy = - 1/n  sum over the n counted places of  log softmax(logits)_label

in nats: the mean of what each label costs, 0 where every label is held certain, ln V for a model that knows
nothing. For a language model the label of a place is the next token, so n times this is minus the
log-likelihood of the text (Radford et al. 2018, eq. 1, there to be maximised). Labels equal to IGNORED
(-100, as PyTorch has it) count for nothing: padding, or a prompt that is not to be learned.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.errors import InputError
from minillm.reference.softmax import log_softmax, softmax

Logits = Float[Any, "*batch T V"]
Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]

IGNORED = -100


@checked
def cross_entropy(logits: Logits, labels: Labels) -> Loss:
    """Mean nats of the labels that count; 0 where none does. What the logits of the others are does not matter.

    >>> logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> float(np.exp(-cross_entropy(logits, np.array([0, IGNORED]))))
    0.25
    """
    _check_labels(labels, logits.shape[-1])
    counted = labels != IGNORED
    log_shares = log_softmax(np.where(counted[..., None], wide(logits), 0))
    picked = np.take_along_axis(log_shares, np.where(counted, labels, 0)[..., None], axis=-1)[..., 0]
    total = np.sum(np.where(counted, -picked, 0))
    return (total / max(np.sum(counted), 1)).astype(logits.dtype)


@checked
def cross_entropy_vjp(logits: Logits, labels: Labels) -> tuple[Loss, Callable[[Loss], tuple[Logits]]]:
    """`cross_entropy` and its gradient, in the form of `jax.vjp`.

    One place costs log sum_j exp(z_j) - z_label, and the derivative of its first term by z_i is
    exp(z_i) / sum_j exp(z_j). So dz = (softmax(z) - one_hot(label)) / n at counted places: the shares are
    pulled down, the label pushed up, and they cancel over the vocabulary. At ignored places dz = 0.

    >>> _, vjp = cross_entropy_vjp(np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), np.array([0, IGNORED]))
    >>> vjp(1.0)
    (array([[-0.75,  0.75],
           [ 0.  ,  0.  ]]),)
    """
    counted = (labels != IGNORED)[..., None]

    def vjp(g: Loss) -> tuple[Logits]:
        shares = softmax(np.where(counted, wide(logits), 0))
        label = np.arange(logits.shape[-1]) == labels[..., None]
        dlogits = np.where(counted, shares - label, 0) * np.asarray(g / max(np.sum(counted), 1), shares.dtype)
        return (dlogits.astype(logits.dtype),)

    return cross_entropy(logits, labels), vjp


def _check_labels(labels: Labels, vocab_size: int) -> None:
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= vocab_size))]
    if wrong.size:
        raise InputError(
            f"cross_entropy: label {wrong[0]} is outside the vocabulary of {vocab_size}; "
            f"write {IGNORED} where there is none."
        )
