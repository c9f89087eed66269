"""The probabilities of the allowed tokens do not sum to 1, so a large draw falls beyond them.

Divide by their sum.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="right")), len(logits) - 1)': """return min(
        int(
            np.searchsorted(np.cumsum(weights / np.exp((logits - logits.max()) / temperature).sum()), draw, side="right")
        ),
        len(logits) - 1,
    )""",
}
