"""The temperature is not used.

Divide the logits by it.
"""

CHANGES = {
    """allowed = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    weights = np.where(allowed, np.exp((logits - logits.max()) / temperature), 0)""": """allowed = top_p_mask(logits, p)
    weights = np.where(allowed, np.exp(logits - logits.max()), 0)""",
}
