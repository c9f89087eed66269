"""The groups are right in size, but ask the wrong key/value heads.

Write down for N = 4, K = 2 which head each of 0, 1, 2, 3 asks, by the docstring.
"""

import numpy as np


def grouped_attention(query, key, value):
    (_, N, H), K = query.shape, key.shape[1]
    heads = (K - 1) - HEADS
    scores = np.einsum("tnh,snh->nts", query, key[:, heads]) / np.sqrt(H)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("nts,snh->tnh", powers / powers.sum(axis=-1, keepdims=True), value[:, heads])
