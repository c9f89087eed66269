"""Positions without a label add nothing to the sum, but they still count in the mean, so the mean is too small.

Divide by the number of labels that are not IGNORED, not by the number of positions.
"""

CHANGES = {
    "return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)": "return np.where(counted, -picked, 0.0).mean()",
}
