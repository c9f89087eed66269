"""Room is given in another order than the one in the docstring.

Which loop is the outer one, tokens or choices?
"""

import numpy as np


def within_capacity(experts, num_experts, capacity):
    kept, room = np.zeros(experts.shape, bool), np.full(num_experts, capacity)
    T, k = experts.shape
    order = list(np.ndindex(T, k)) if ORDER == "choices first" else [(t, j) for j in range(k) for t in range(T)]
    for token, choice in order:
        expert = experts[token, choice]
        kept[token, choice] = room[expert] > 0
        room[expert] -= kept[token, choice]
    return kept
