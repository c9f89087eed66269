"""The softmax runs over the queries: the weights that one query gives do not sum to 1.

Scores are (N, T, S); the sum is over the last axis, the keys.
"""

CHANGES = {
    "weights = powers / powers.sum(axis=-1, keepdims=True)": "weights = powers / powers.sum(axis=-2, keepdims=True)",
}
