"""The token that crosses p is left out: those that are kept have less than p together.

Keep a token while the mass of the likelier ones, without its own, is below p.
"""

CHANGES = {
    "before = np.cumsum(shares[order]) - shares[order]": "before = np.cumsum(shares[order])",
    "mask[order] = before < p - 1e-12": "mask[order] = before <= p + 1e-12",
}
