"""The token may be any: top-p is not used.

Set the shares of those not kept to 0.
"""

CHANGES = {
    "powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)": "powers = np.exp((logits - logits.max()) / temperature)",
}
