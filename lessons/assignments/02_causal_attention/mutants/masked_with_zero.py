"""A score of 0 does not hide a key: exp(0) is 1, so the key gets a weight like any other.

Use -inf: exp(-inf) is 0.
"""

CHANGES = {
    "scores = np.where(visible, scores, -np.inf)": "scores = np.where(visible, scores, 0.0)",
}
