"""The shares of the whole array sum to 1, and not those of each row: the sum has no axis.

Sum along the same axis as the maximum, with keepdims=True.
"""

CHANGES = {
    "return powers / powers.sum(axis=AXIS, keepdims=True)": "return powers / powers.sum()",
}
