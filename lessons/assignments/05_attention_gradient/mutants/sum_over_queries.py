"""The sum in the softmax's slope runs over the queries; a row of shares belongs to one query, so it is over the
keys.

axis=-1, keepdims=True.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (dweights - (weights * dweights).sum(axis=0, keepdims=True)) / SCALE",
}
