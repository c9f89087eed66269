"""Sampling: from the logits of the next token to the token itself.

    p = softmax(logits / temperature), then only the top k tokens [Fan2018], then only
    the smallest set of likeliest tokens that reaches mass p ([Holtzman2020], section 3.1), renormalised

in this order, as Transformers has it. A token is found by inverting the cumulative distribution at a number
drawn uniformly from [0, 1): the draw is an argument, so the same draw gives the same token on both sides.
Equal logits rank by token id, the lower first.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import Logits, checked
from minillm.config import Sampling
from minillm.layers.softmax import masked_softmax, softmax
from minillm.transformer.shared import Candidates, check_logits


@checked
def top_k_mask(logits: Logits, k: int) -> Candidates:
    """True for the k largest; all where k exceeds their number.

    >>> top_k_mask(np.array([1.0, 3.0, 3.0, 2.0]), k=1)
    array([False,  True, False, False])
    """
    return _ranks(logits) < k


@checked
def top_p_mask(logits: Logits, p: float) -> Candidates:
    """True for the fewest likeliest tokens whose probabilities sum to p or more; the likeliest is always among them.

    >>> top_p_mask(np.log(np.array([0.1, 0.2, 0.7])), p=0.75)
    array([False,  True,  True])
    """
    probabilities = softmax(logits)
    ordered = -np.sort(-probabilities, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered  # mass of the likelier tokens
    return np.take_along_axis(before < p, _ranks(logits), axis=-1)


@checked
def sample(logits: Logits, draw: Float[Any, "*batch"], sampling: Sampling) -> Int[Any, "*batch"]:
    """The token that each draw falls on.

    >>> logits = np.log(np.array([[0.2, 0.5, 0.3]] * 3))
    >>> sample(logits, np.array([0.1, 0.6, 0.9]), Sampling()), sample(logits[:1], np.array([0.9]), Sampling(0.0))
    (array([0, 1, 2]), array([1]))
    """
    check_logits(logits)
    return _choose(logits, draw, sampling)


def _choose(logits: Logits, draw: Float[Any, "*batch"], sampling: Sampling) -> Int[Any, "*batch"]:
    if sampling.temperature == 0:
        return np.argmax(logits, axis=-1)
    logits = logits / np.asarray(sampling.temperature, logits.dtype)
    candidates = np.ones(logits.shape, bool)
    if sampling.top_k is not None:
        candidates = top_k_mask(logits, sampling.top_k)
    if sampling.top_p is not None:
        candidates &= top_p_mask(np.where(candidates, logits, -np.inf), sampling.top_p)
    cumulative = np.cumsum(masked_softmax(logits, candidates), axis=-1)
    # A draw below 1 times the total is below the total, however the sum was rounded.
    return np.argmax(cumulative > draw[..., None] * cumulative[..., -1:], axis=-1)


def _ranks(logits: Logits) -> Int[Any, "*batch V"]:
    """0 for the largest, 1 for the next ..."""
    return np.argsort(np.argsort(-logits, axis=-1, kind="stable"), axis=-1)
