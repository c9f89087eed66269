"""The temperature is not used.

Divide the logits by it.
"""

CHANGES = {
    """kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)""": """kept = top_p_mask(logits, p)
    powers = np.where(kept, np.exp(logits - logits.max()), 0)""",
}
