"""The logits themselves are divided by their sum, and they may be negative. Softmax comes first.

probabilities = softmax(router_logits), over all experts.
"""

CHANGES = {
    """exponentials = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    chosen = np.take_along_axis(exponentials / exponentials.sum(axis=-1, keepdims=True), experts, axis=-1)
    return chosen / chosen.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else chosen""": """picked = np.take_along_axis(router_logits, experts, axis=-1)
    return picked / np.where(picked.sum(axis=-1, keepdims=True) == 0, 1, picked.sum(axis=-1, keepdims=True))""",
}
