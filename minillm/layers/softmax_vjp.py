"""The gradient of softmax, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool

from minillm.axes import checked, wide
from minillm.layers.shared import Scores
from minillm.layers.softmax import log_softmax, masked_softmax, softmax


@checked
def softmax_vjp(scores: Scores) -> tuple[Scores, Callable[[Scores], tuple[Scores]]]:
    """`softmax` and its gradient, in the form of `jax.vjp`.

    The probability p_i = exp(z_i) / sum_j exp(z_j) has the derivative p_i (1[i = k] - p_k) by z_k. So for an
    upstream g:  dz = p (g - sum(p g)).  Raising all scores together changes nothing: dz sums to 0.

    >>> softmax_vjp(np.zeros(2))[1](np.array([1.0, 0.0]))
    (array([ 0.25, -0.25]),)
    """
    probabilities = softmax(scores)
    return probabilities, lambda g: (_through_softmax(probabilities, g),)


@checked
def masked_softmax_vjp(scores: Scores, mask: Bool[Any, "..."]) -> tuple[Scores, Callable[[Scores], tuple[Scores]]]:
    """`masked_softmax` and its gradient: as `softmax_vjp`, since a masked place has probability 0 and so dz = 0.

    >>> masked_softmax_vjp(np.zeros(3), np.array([True, True, False]))[1](np.array([1.0, 0.0, 9.0]))
    (array([ 0.25, -0.25,  0.  ]),)
    """
    probabilities = masked_softmax(scores, mask)
    return probabilities, lambda g: (_through_softmax(probabilities, g),)


@checked
def log_softmax_vjp(scores: Scores) -> tuple[Scores, Callable[[Scores], tuple[Scores]]]:
    """`log_softmax` and its gradient, in the form of `jax.vjp`.

    log p_i = z_i - log sum_j exp(z_j) has the derivative 1[i = k] - p_k by z_k. So dz = g - p sum(g).

    >>> log_softmax_vjp(np.zeros(2))[1](np.array([1.0, 0.0]))
    (array([ 0.5, -0.5]),)
    """
    log_probabilities = log_softmax(scores)

    def vjp(g: Scores) -> tuple[Scores]:
        g = wide(g)
        return ((g - np.exp(wide(log_probabilities)) * np.sum(g, axis=-1, keepdims=True)).astype(scores.dtype),)

    return log_probabilities, vjp


def _through_softmax(probabilities: Scores, g: Scores) -> Scores:
    p, g = wide(probabilities), wide(g)
    return (p * (g - np.sum(p * g, axis=-1, keepdims=True))).astype(probabilities.dtype)
