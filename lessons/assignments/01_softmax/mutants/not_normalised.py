"""These are powers and no shares yet: they do not sum to 1.

Divide by the sum of the row.
"""

CHANGES = {
    """powers = np.exp(scores - scores.max(axis=AXIS, keepdims=True))
    return powers / powers.sum(axis=AXIS, keepdims=True)""": "return np.exp(scores - scores.max(axis=AXIS, keepdims=True))",
}
