"""Attention of one token to the filled part of a cache, at a price that grows with what is filled.

Shapes are fixed under `jax.jit`, so the plain twin reads a cache's whole capacity for every token. Here the program
holds a branch for the first 64, 128, 256 ... positions, and runs the shortest that has all the filled ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.attention.attention_jax import causal_mask, scaled_dot_product_attention
from minillm.axes import Key, Query, Value, checked
from minillm.errors import InputError

_SHORTEST = 64  # positions


@partial(jax.jit, static_argnames="window")
@checked
def prefix_attention(query: Query, key: Key, value: Value, start: Any, window: int | None = None) -> Query:
    """`scaled_dot_product_attention` with `causal_mask(1, S, start, window)`."""
    T, S = query.shape[-3], key.shape[-3]
    if T != 1:
        raise InputError(f"prefix_attention: {T} queries; it is for one.")
    mask = causal_mask(1, S, start, window)
    # A cache has heads before positions: with both moved there and back XLA reads it as it lies.
    heads = jnp.moveaxis(key, -3, -2), jnp.moveaxis(value, -3, -2)
    lengths = [_SHORTEST << i for i in range(S.bit_length()) if _SHORTEST << i < S] + [S]

    def first(length: int) -> Callable[..., Query]:
        def attend(query: Query, keys: Any, values: Any, mask: Any) -> Query:
            key, value = (jnp.moveaxis(x[..., :length, :], -3, -2) for x in (keys, values))
            return scaled_dot_product_attention(query, key, value, mask[:, :length])

        return attend

    shortest = jnp.sum(start + 1 > np.array(lengths[:-1], np.int32))
    return jax.lax.switch(shortest, [first(length) for length in lengths], query, *heads, mask)
