"""The sign is wrong: this is the way downhill. The gradient points uphill.

Compare with a small step: raise one number of the query by 1e-5 and see.
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
    return -(dscores @ key), -(dscores.T @ query), -dvalue
