"""Overflow: what an expert with a capacity has to drop where chance sends the tokens.

    dropped = E / T  sum over n > C of  (n - C) P(n),      P(n) = (T over n) (1/E)^n (1 - 1/E)^(T - n)

Where each of T tokens takes one of E experts with equal probability, an expert gets a binomial number n of them, and
those above its capacity C are dropped. Randomness alone causes this. It falls with T, as the spread of n grows only
with the root of T. It is no bound for other routers: one that deals the tokens out in turn drops none.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.errors import InputError


def dropped_by_chance(num_tokens: int, num_experts: int, capacity: int) -> Float[Any, ""]:
    """The mean fraction of tokens that find their expert full.

    >>> float(dropped_by_chance(2, 2, 1).round(4))  # both on one expert, in half of the cases: one of two is dropped
    0.25
    """
    if min(num_tokens, num_experts, capacity) < 1:
        raise InputError(
            f"dropped_by_chance: {num_tokens} tokens, {num_experts} experts, capacity {capacity}; give 1 or more."
        )
    if num_experts == 1:
        return np.asarray(max(num_tokens - capacity, 0) / num_tokens)
    n = np.arange(num_tokens + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(n[1:]))])
    log_ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    probability = np.exp(log_ways - n * np.log(num_experts) + (num_tokens - n) * np.log1p(-1 / num_experts))
    return np.asarray(num_experts * np.sum(probability * np.maximum(n - capacity, 0)) / num_tokens)
