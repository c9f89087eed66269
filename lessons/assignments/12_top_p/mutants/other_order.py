"""Top-p and temperature are applied in the other order, which allows other tokens.

The docstring of your copy gives the order.
"""

CHANGES = {
    'allowed = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)': 'allowed = top_p_mask(logits if ORDER == "temperature first" else logits / temperature, p)',
}
