"""Attention in JAX. What differs: shapes are fixed under `jax.jit`, so a mask hides the part of a cache that is empty.

`multi_head_attention` may be given another function to attend with: `minillm.attention.fast.choose.attend` has the same
values, takes a causal mask by its name, and picks the form that is fast for the device and the shapes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.attention.cache_jax import append
from minillm.attention.rotary_jax import rotary_embedding
from minillm.attention.shared import AttentionWeights, LayerCache, check_heads
from minillm.axes import Hidden, Key, Mask, Query, Rotation, Value, checked
from minillm.layers.linear_jax import linear
from minillm.layers.softmax_jax import masked_softmax, softmax


@partial(jax.jit, static_argnames=("query_length", "key_length", "window"))
def causal_mask(query_length: int, key_length: int, offset: Any = 0, window: int | None = None) -> Mask:
    """As the reference; `offset` may be traced, so that one program serves every position."""
    query_position = offset + jnp.arange(query_length)[:, None]
    key_position = jnp.arange(key_length)
    mask = key_position <= query_position
    return mask if window is None else mask & (key_position > query_position - window)


@partial(jax.jit, static_argnames="scale")
@checked
def scaled_dot_product_attention(
    query: Query, key: Key, value: Value, mask: Mask | None = None, scale: float | None = None
) -> Query:
    """As the reference."""
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    queries, keys, values = group_heads(query, K), jnp.moveaxis(key, -3, -2), jnp.moveaxis(value, -3, -2)
    scale = H**-0.5 if scale is None else scale
    scores = (queries @ keys.swapaxes(-1, -2) * scale).reshape(*query.shape[:-3], N, T, S)
    weights = softmax(scores) if mask is None else masked_softmax(scores, mask)
    return ungroup_heads(weights.reshape(*queries.shape[:-1], S) @ values, N)


@partial(jax.jit, static_argnames=("head_dim", "attend"))
@checked
def multi_head_attention(
    x: Hidden,
    weights: AttentionWeights,
    head_dim: int,
    mask: Any = None,
    rotation: tuple[Rotation, Rotation] | None = None,
    cache: LayerCache | None = None,
    start: Any = 0,
    attend: Callable[..., Any] = scaled_dot_product_attention,
) -> tuple[Hidden, LayerCache | None]:
    """Differs: with a cache the mask is over its whole capacity, (T, S), and hides what is not filled."""
    weights = AttentionWeights(*weights)
    query, key, value = (
        linear(x, w).reshape(*x.shape[:-1], -1, head_dim) for w in (weights.query, weights.key, weights.value)
    )
    if rotation is not None:
        query, key = rotary_embedding(query, *rotation), rotary_embedding(key, *rotation)
    if cache is not None:
        cache = append(cache, key, value, start)
        key, value = (jnp.moveaxis(past, -3, -2) for past in cache)
        mask = jnp.arange(key.shape[-3]) < start + x.shape[-2] if mask is None else mask
    out = attend(query, key, value, mask)
    return linear(out.reshape(*x.shape[:-1], -1), weights.output), cache


def group_heads(query: Query, num_kv_heads: int) -> Float[Any, "*batch K GT H"]:
    """As the reference."""
    T, N, H = query.shape[-3:]
    check_heads("scaled_dot_product_attention", N, num_kv_heads)
    return jnp.moveaxis(query, -3, -2).reshape(*query.shape[:-3], num_kv_heads, N // num_kv_heads * T, H)


def ungroup_heads(rows: Float[Any, "*batch K GT H"], num_heads: int) -> Query:
    """As the reference."""
    K, GT, H = rows.shape[-3:]
    return jnp.moveaxis(rows.reshape(*rows.shape[:-3], num_heads, K * GT // num_heads, H), -3, -2)
