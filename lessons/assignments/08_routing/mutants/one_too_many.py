"""An expert takes one more than its capacity.

A choice is kept while fewer than `capacity` were taken.
"""

import numpy as np


def within_capacity(experts, num_experts, capacity):
    kept, room = np.zeros(experts.shape, bool), np.full(num_experts, capacity)
    T, k = experts.shape
    order = [(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k))
    for token, choice in order:
        expert = experts[token, choice]
        kept[token, choice] = room[expert] >= 0
        room[expert] -= kept[token, choice]
    return kept
