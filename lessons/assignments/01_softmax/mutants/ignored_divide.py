"""The places without a label cost nothing here, and still count in the mean, which they make too small.

Divide by the number of labels that are not IGNORED, not by the number of places.
"""

CHANGES = {
    "return np.where(counted, -picked, 0.0).sum() / max(counted.sum(), 1)": "return np.where(counted, -picked, 0.0).mean()",
}
