"""The logits are multiplied by the temperature: a high one would make the choice sharper.

Divide.
"""

CHANGES = {
    """kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)""": """kept = top_p_mask(logits * temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) * temperature), 0)""",
}
