"""Top-k routing with capacity.

A router says which experts see a token, how much each counts, and, where an expert has room for so many
only, which choices are dropped.
"""

import numpy as np


def choose_experts(router_logits, k):
    """The k experts with the largest logits of each token, the largest first; equal ones by index, the
    lower first.

    `router_logits` is (T, E); gives whole numbers (T, k).
    """
    # BEGIN SOLUTION
    return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]
    # END SOLUTION


def softmax_gates(router_logits, experts):
    """What each chosen expert counts: its share in the softmax over all experts, divided by the sum
    over the chosen.

    With one expert a token (k = 1) its share as it is. `router_logits` is (T, E), `experts` (T, k);
    gives (T, k).
    """
    # BEGIN SOLUTION
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    shares = np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)
    return shares / shares.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else shares
    # END SOLUTION


def within_capacity(experts, num_experts, capacity):
    """True for the choices that find room, where an expert takes at most `capacity`. `experts` is (T,
    k); gives (T, k).

    Room is given in this order: {ORDER}.
    """
    # BEGIN SOLUTION
    kept, room = np.zeros(experts.shape, bool), np.full(num_experts, capacity)
    T, k = experts.shape
    order = [(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k))
    for token, choice in order:
        expert = experts[token, choice]
        kept[token, choice] = room[expert] > 0
        room[expert] -= kept[token, choice]
    return kept
    # END SOLUTION
