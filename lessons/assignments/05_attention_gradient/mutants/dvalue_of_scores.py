"""The output is the weights times the values; dvalue needs the weights, and these are the scores.

dvalue = A^T upstream, A after the softmax.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = scores.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE
    return dscores @ key, dscores.T @ query, dvalue
