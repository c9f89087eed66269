"""Grouped-query attention with a KV cache.

A model that generates text stores the keys and values of past tokens, so that a new token needs one row
of attention only. Several query heads share a key/value head, which makes this cache smaller.
"""

import numpy as np


def grouped_attention(query, key, value):
    """`query` is (T, N, H), `key` and `value` are (S, K, H), N a multiple of K; returns (T, N, H).
    There is no mask.

    The scores are divided by sqrt(H). Query head n uses key/value head {HEADS}.
    """
    # BEGIN SOLUTION
    (_, N, H), K = query.shape, key.shape[1]
    heads = HEADS
    scores = np.einsum("tnh,snh->nts", query, key[:, heads]) / np.sqrt(H)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("nts,snh->tnh", exponentials / exponentials.sum(axis=-1, keepdims=True), value[:, heads])
    # END SOLUTION


def decode(query, key, value, keys, values, length):
    """One new token. `query` is (N, H); `key` and `value`, its own, are (K, H). `keys` and `values` are
    the caches, (S, K, H): their first `length` positions are filled, and the rest may hold anything.

    Returns (output, keys, values): the output (N, H) of the new token over the filled positions and
    itself, and the caches with its key and value at position `length`. The caches that were passed in
    stay unchanged.
    """
    # BEGIN SOLUTION
    keys, values = keys.copy(), values.copy()
    keys[length], values[length] = key, value
    output = grouped_attention(query[None], keys[: length + 1], values[: length + 1])
    return output[0], keys, values
    # END SOLUTION
