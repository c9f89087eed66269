"""The term that subtracts the weighted mean of dA is missing: raising all scores together would seem to matter.

dscores = A * (dA - sum(A * dA)), the sum over the keys.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * dweights / SCALE
    return dscores @ key, dscores.T @ query, dvalue
