"""The token that crosses p is left out, so the allowed tokens together have less than p.

Allow a token while the total of the likelier ones, without its own probability, is below p.
"""

CHANGES = {
    "before = np.cumsum(probabilities[order]) - probabilities[order]": "before = np.cumsum(probabilities[order])",
    "mask[order] = before < p - 1e-12": "mask[order] = before <= p + 1e-12",
}
