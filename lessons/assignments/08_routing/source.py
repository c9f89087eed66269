"""Top-k routing with capacity.

A router chooses the experts of each token and how much each of them counts. Where an expert has a
limited capacity, it also decides which choices are dropped.
"""

import numpy as np


def choose_experts(router_logits, k):
    """The k experts with the largest logits of each token, the largest first. Among equal logits the
    lower index comes first.

    `router_logits` is (T, E); returns whole numbers (T, k).
    """
    # BEGIN SOLUTION
    return np.argsort(-router_logits, axis=-1, kind="stable")[:, :k]
    # END SOLUTION


def softmax_gates(router_logits, experts):
    """How much each chosen expert counts: its probability in the softmax over all experts, divided by
    the sum over the chosen ones.

    With one expert per token (k = 1) the probability stays as it is. `router_logits` is (T, E),
    `experts` (T, k); returns (T, k).
    """
    # BEGIN SOLUTION
    exponentials = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    chosen = np.take_along_axis(exponentials / exponentials.sum(axis=-1, keepdims=True), experts, axis=-1)
    return chosen / chosen.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else chosen
    # END SOLUTION


def within_capacity(experts, num_experts, capacity):
    """True for the choices that are kept; each expert keeps at most `capacity`. `experts` is (T, k);
    returns (T, k).

    Capacity is filled in this order: {ORDER}.
    """
    # BEGIN SOLUTION
    kept, left = np.zeros(experts.shape, bool), np.full(num_experts, capacity)
    T, k = experts.shape
    order = [(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k))
    for token, choice in order:
        expert = experts[token, choice]
        kept[token, choice] = left[expert] > 0
        left[expert] -= kept[token, choice]
    return kept
    # END SOLUTION
