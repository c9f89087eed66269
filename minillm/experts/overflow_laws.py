"""Laws of overflow."""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.experts.overflow import dropped_by_chance
from minillm.laws import agree, law

ALONE = {"dropped_by_chance": "a formula about the binomial distribution; nothing of it runs on a device"}


@law(dropped_by_chance, given=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 5)))
def it_is_the_mean_over_all_ways(dropped: Any, num_tokens: int, num_experts: int, capacity: int) -> None:
    """Of all ways to send the tokens, each as likely: the mean fraction above the capacity of its expert."""
    ways = [np.bincount(way, minlength=num_experts) for way in product(range(num_experts), repeat=num_tokens)]
    expected = np.mean([np.maximum(loads - capacity, 0).sum() / num_tokens for loads in ways])
    agree(dropped(num_tokens, num_experts, capacity), np.asarray(expected))
