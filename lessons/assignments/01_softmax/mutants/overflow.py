"""exp of a large score overflows: exp(710) is beyond float64. Which number can you subtract from every score of a row
without changing the probabilities?

Subtract the largest score of each row before exp. The largest exponent is then 0 and nothing overflows.
"""

CHANGES = {
    "exponentials = np.exp(scores - scores.max(axis=AXIS, keepdims=True))": "exponentials = np.exp(scores)",
}
