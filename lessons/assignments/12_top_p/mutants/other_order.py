"""Top-p and temperature come in the other order: another set of tokens is kept.

The order is in the docstring of your copy.
"""

CHANGES = {
    'kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)': 'kept = top_p_mask(logits if ORDER == "temperature first" else logits / temperature, p)',
}
