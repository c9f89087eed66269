"""The logits themselves are divided by their sum; they may be negative. Softmax comes first.

shares = softmax(router_logits), over all experts.
"""

CHANGES = {
    """powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    shares = np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)
    return shares / shares.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else shares""": """picked = np.take_along_axis(router_logits, experts, axis=-1)
    return picked / np.where(picked.sum(axis=-1, keepdims=True) == 0, 1, picked.sum(axis=-1, keepdims=True))""",
}
