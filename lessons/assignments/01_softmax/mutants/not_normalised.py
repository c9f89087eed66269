"""These are exponentials and not yet probabilities: they do not sum to 1.

Divide by the sum of the row.
"""

CHANGES = {
    """exponentials = np.exp(scores - scores.max(axis=AXIS, keepdims=True))
    return exponentials / exponentials.sum(axis=AXIS, keepdims=True)""": "return np.exp(scores - scores.max(axis=AXIS, keepdims=True))",
}
