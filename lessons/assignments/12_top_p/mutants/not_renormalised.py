"""The shares of the kept tokens do not sum to 1: a large draw falls beyond them.

Divide by their sum.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)': """return min(
        int(
            np.searchsorted(np.cumsum(powers / np.exp((logits - logits.max()) / temperature).sum()), draw, side="right")
        ),
        len(logits) - 1,
    )""",
}
