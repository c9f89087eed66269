"""The sum in the softmax's gradient runs over the queries. A row of weights belongs to one query, so sum over the
keys.

axis=-1, keepdims=True.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (dweights - (weights * dweights).sum(axis=0, keepdims=True)) / SCALE",
}
