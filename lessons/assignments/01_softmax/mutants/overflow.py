"""exp of a large score overflows: exp(710) is beyond float64. Which number, taken from every score, leaves the
shares as they are?

Take the largest score of each row away before exp. The largest exponent is then 0 and nothing overflows.
"""

CHANGES = {
    "powers = np.exp(scores - scores.max(axis=AXIS, keepdims=True))": "powers = np.exp(scores)",
}
