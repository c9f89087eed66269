"""The mask is the wrong way round: tokens see what comes after them, and not what was before.

True should stand where the key's position is at most the query's.
"""

import numpy as np


def causal_attention(query, key, value):
    (T, _, H), S = query.shape, key.shape[0]
    scores = np.einsum("tnh,snh->nts", query, key) / SCALE
    visible = np.arange(S) >= S - T + np.arange(T)[:, None]
    scores = np.where(visible, scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return np.einsum("nts,snh->tnh", weights, value)
