"""All query heads ask the first key/value head.

Query heads are in K groups; the docstring says which head belongs to which.
"""

import numpy as np


def grouped_attention(query, key, value):
    (_, N, H), K = query.shape, key.shape[1]
    heads = np.zeros(N, int)
    scores = np.einsum("tnh,snh->nts", query, key[:, heads]) / np.sqrt(H)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("nts,snh->tnh", powers / powers.sum(axis=-1, keepdims=True), value[:, heads])
