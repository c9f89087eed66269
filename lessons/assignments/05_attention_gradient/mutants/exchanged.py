"""dquery and dkey are exchanged, or made of each other's partner.

scores = query key^T: the slope by the query has the key in it, and the other way round.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE
    return dscores.T @ query, dscores @ key, dvalue
