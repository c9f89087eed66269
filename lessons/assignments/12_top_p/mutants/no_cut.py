"""Any token can come: top-p is not used.

Set the probabilities of the tokens outside the mask to 0.
"""

CHANGES = {
    "weights = np.where(allowed, np.exp((logits - logits.max()) / temperature), 0)": "weights = np.exp((logits - logits.max()) / temperature)",
}
