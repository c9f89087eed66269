"""Softmax: turn scores into probabilities.

    softmax(z)_i = exp(z_i) / sum_j exp(z_j)               [Bridle1990]

Adding a constant to every score changes nothing, so the largest is subtracted first: exp never overflows,
and the largest term is exactly 1. The sum runs over the last axis, in at least float32.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from minillm.axes import checked, wide
from minillm.layers.shared import Scores


def softmax_naive(scores: Scores) -> Scores:
    """The definition, word for word. Overflows: exp(710) is beyond float64, exp(89) beyond float32.

    >>> softmax_naive(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    return np.exp(scores) / np.sum(np.exp(scores), axis=-1, keepdims=True)


@checked
def softmax(scores: Scores) -> Scores:
    """The probabilities of each row: at least 0, with sum 1 along the last axis.

    >>> softmax(np.array([1000.0, 1000.0 + np.log(3.0)]))
    array([0.25, 0.75])
    """
    numbers = wide(scores)
    powers = np.exp(numbers - np.max(numbers, axis=-1, keepdims=True))
    return (powers / np.sum(powers, axis=-1, keepdims=True)).astype(scores.dtype)


@checked
def masked_softmax(scores: Scores, mask: Bool[Any, "..."]) -> Scores:
    """Probabilities among the scores whose mask is True; the others get exactly 0, as does a row without any.

    `mask` broadcasts against `scores`. What stands in a masked place does not matter, NaN and infinity
    included.

    >>> masked_softmax(np.array([[0.0, 0.0, np.nan], [1.0, 2.0, 3.0]]), np.array([[True, True, False], [False] * 3]))
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 0. ]])
    """
    masked = np.where(mask, wide(scores), -np.inf)
    largest = np.max(masked, axis=-1, keepdims=True)
    powers = np.exp(masked - np.where(np.isneginf(largest), 0, largest))
    total = np.sum(powers, axis=-1, keepdims=True)
    return (powers / np.where(total == 0, 1, total)).astype(scores.dtype)


@checked
def log_softmax(scores: Scores) -> Scores:
    """Logarithm of `softmax` in nats, without the logarithm of a probability that has rounded to zero.

    log softmax(z)_i = z_i - log sum_j exp(z_j)

    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    numbers = wide(scores)
    shifted = numbers - np.max(numbers, axis=-1, keepdims=True)
    return (shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))).astype(scores.dtype)
