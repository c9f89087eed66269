"""The softmax runs over the queries, so the weights of one query do not sum to 1.

The scores have shape (N, T, S); sum over the last axis, the keys.
"""

CHANGES = {
    "weights = exponentials / exponentials.sum(axis=-1, keepdims=True)": "weights = exponentials / exponentials.sum(axis=-2, keepdims=True)",
}
