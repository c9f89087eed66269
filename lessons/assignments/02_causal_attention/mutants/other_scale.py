"""The scores are divided by the other of sqrt(H) and H, or by something else that grows with the head. Read the
docstring again.

H is the last axis of the query; the variant of your copy says by what of it you divide.
"""

import numpy as np


def causal_attention(query, key, value):
    (T, _, H), S = query.shape, key.shape[0]
    scores = np.einsum("tnh,snh->nts", query, key) / SCALE / np.sqrt(H)
    visible = np.arange(S) <= S - T + np.arange(T)[:, None]
    scores = np.where(visible, scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return np.einsum("nts,snh->tnh", weights, value)
