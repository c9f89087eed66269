"""One token more than needed is allowed.

The allowed tokens together reach p; without the least likely of them they must not.
"""

CHANGES = {
    "before = np.cumsum(probabilities[order]) - probabilities[order]": "before = np.cumsum(probabilities[order]) - probabilities[order] - np.concatenate([[0.0], probabilities[order][:-1]])",
}
