"""The scores were divided on the way there; their slope is divided on the way back too.

dquery = dscores key / scale, and dkey likewise.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True))
    return dscores @ key, dscores.T @ query, dvalue
