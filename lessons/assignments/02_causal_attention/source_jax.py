"""Causal attention, in JAX.

Each token has a query, a key and a value. A token compares its query with the keys of all tokens up to
itself, and mixes their values in proportion to how well they match:

    output = softmax(query key^T / {SCALE}) value

H is the size of a head. A token never sees what comes after it. Write it for jit and vmap: no loop over
tokens.
"""

import jax.numpy as jnp
import numpy as np


def causal_attention(query, key, value):
    """`query` is (T, N, H), `key` and `value` are (S, N, H) with S >= T; returns (T, N, H).

    The queries belong to the last T of S tokens: query t stands at position S - T + t and sees the keys
    at positions 0 to its own. The scores are divided by {SCALE}. Each of the N heads attends by itself.
    """
    # BEGIN SOLUTION
    (T, _, H), S = query.shape, key.shape[0]
    scores = jnp.einsum("tnh,snh->nts", query, key) / SCALE
    visible = jnp.arange(S) <= S - T + jnp.arange(T)[:, None]
    scores = jnp.where(visible, scores, -jnp.inf)
    exponentials = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return jnp.einsum("nts,snh->tnh", weights, value)
    # END SOLUTION
