"""The mean that is taken away is weighted by the shares: sum(A * dA), not the plain mean of dA.

Multiply by the weights before you sum.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - dweights.mean(axis=-1, keepdims=True)) / SCALE
    return dscores @ key, dscores.T @ query, dvalue
