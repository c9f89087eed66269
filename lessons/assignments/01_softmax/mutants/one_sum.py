"""The whole array sums to 1, but each row should: the sum has no axis.

Sum along the same axis as the maximum, with keepdims=True.
"""

CHANGES = {
    "return exponentials / exponentials.sum(axis=AXIS, keepdims=True)": "return exponentials / exponentials.sum()",
}
