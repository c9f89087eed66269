"""Attention, jitted: `minillm.attention.attention` for CPU, GPU and TPU."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.attention.cache_jax import LayerCache, append
from minillm.attention.fast.causal import causal_attention
from minillm.attention.rotary_jax import rotary_embedding
from minillm.axes import Hidden, Key, Mask, Query, Rotation, Value, checked, wide
from minillm.errors import InputError
from minillm.layers.linear_jax import Weight, linear
from minillm.layers.softmax_jax import masked_softmax, softmax

Grouped = Float[Any, "*batch K G T H"]
Heads = Float[Any, "*batch K S H"]

_PREFIX = 64  # the fewest positions of a cache that one token reads
_BLOCK = 256  # positions of a cache that a prompt reads together


@jax.tree_util.register_static
@dataclass(frozen=True)
class Causal:
    """The mask `causal_mask(T, T, window=window)`, named and not made: attention then passes over what it hides."""

    window: int | None = None


class AttentionWeights(NamedTuple):
    """As the reference; each matrix plain or `Transposed`."""

    query: Weight
    key: Weight
    value: Weight
    output: Weight


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
    queries, keys, values = _group(query, key), jnp.moveaxis(key, -3, -2), jnp.moveaxis(value, -3, -2)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = _ungroup_heads(jnp.einsum("...kgth,...ksh->...kgts", queries, keys) * scale)
    weights = softmax(scores) if mask is None else masked_softmax(scores, mask)
    weights = weights.reshape(*queries.shape[:-1], -1)
    out = jnp.einsum("...kgts,...ksh->...kgth", weights, values)
    return jnp.moveaxis(_ungroup_heads(out), -3, -2)


@partial(jax.jit, static_argnames="head_dim")
@checked
def multi_head_attention(
    x: Hidden,
    weights: AttentionWeights,
    head_dim: int,
    mask: Mask | Causal | None = None,
    rotation: tuple[Rotation, Rotation] | None = None,
    cache: LayerCache | None = None,
    start: Any = 0,
) -> tuple[Hidden, LayerCache | None]:
    """Differs: shapes are fixed under `jit`, so with a cache `mask` is over its whole capacity (T, S).

    Without a cache the mask may be `Causal()`, which is faster and, for a long sequence, takes memory O(T).
    """
    weights = AttentionWeights(*weights)
    query, key, value = (
        linear(x, w).reshape(*x.shape[:-1], -1, head_dim) for w in (weights.query, weights.key, weights.value)
    )
    if rotation is not None:
        query, key = rotary_embedding(query, *rotation), rotary_embedding(key, *rotation)
    if isinstance(mask, Causal):
        if cache is not None:
            raise InputError("multi_head_attention: with a cache the mask is an array over its positions.")
        out = causal_attention(query, key, value, mask.window)
    elif cache is None:
        out = scaled_dot_product_attention(query, key, value, mask)
    else:
        cache = append(cache, key, value, start)
        out = attention_over_cache(query, cache, mask, start + x.shape[-2])
    return linear(out.reshape(*x.shape[:-1], -1), weights.output), cache


def attention_over_cache(query: Query, cache: LayerCache, mask: Mask | None, filled: Any) -> Query:
    """Attention to the first `filled` positions of a cache: one program for every length, reading little more."""
    S = cache.key.shape[-2]
    visible = jnp.arange(S) < filled
    mask = jnp.broadcast_to(visible if mask is None else mask & visible, (query.shape[-3], S))
    return (_over_prefix if query.shape[-3] == 1 else _over_blocks)(query, cache, mask, filled)


def _over_prefix(query: Query, cache: LayerCache, mask: Mask, filled: Any) -> Query:
    """For one token. The program holds a branch for the first 64, 128, 256 ... positions, and runs the one it needs."""
    S = cache.key.shape[-2]
    lengths = [_PREFIX << i for i in range(S.bit_length()) if _PREFIX << i < S] + [S]

    def branch(length: int) -> Callable[..., Query]:
        def attend(query: Query, cache: LayerCache, mask: Mask) -> Query:
            key, value = (jnp.moveaxis(past[..., :length, :], -3, -2) for past in cache)
            return scaled_dot_product_attention(query, key, value, mask[:, :length])

        return attend

    shortest = jnp.sum(filled > np.array(lengths[:-1], np.int32))
    return jax.lax.switch(shortest, [branch(length) for length in lengths], query, cache, mask)


def _over_blocks(query: Query, cache: LayerCache, mask: Mask, filled: Any) -> Query:
    """For a prompt, whose scores against all positions would fill the memory: block by block.

    The softmax is kept as a running maximum m, a sum l of exp(score - m) and the output o before division by l
    (Milakov & Gimelshein 2018, algorithm 3).
    """
    queries = _group(wide(query), jnp.moveaxis(cache.key, -3, -2))
    S = cache.key.shape[-2]
    block, axis = min(_BLOCK, S), cache.key.ndim - 2

    def add_block(index: Any, state: Any) -> Any:
        largest, total, out = state
        first = jnp.minimum(index * block, S - block)  # the last block is moved back to fit, and overlaps
        positions = first + jnp.arange(block)
        visible = jax.lax.dynamic_slice_in_dim(mask, first, block, 1)
        visible &= positions >= index * block
        keys, values = (wide(jax.lax.dynamic_slice_in_dim(past, first, block, axis)) for past in cache)
        scores = jnp.einsum("...kgth,...ksh->...kgts", queries, keys) * query.shape[-1] ** -0.5
        scores = jnp.where(visible, scores, -jnp.inf)
        new_largest = jnp.maximum(largest, jnp.max(scores, axis=-1))
        reachable = jnp.where(jnp.isneginf(new_largest), 0, new_largest)  # a row that saw nothing yet
        powers = jnp.exp(scores - reachable[..., None])
        shrink = jnp.exp(largest - reachable)
        out = out * shrink[..., None] + jnp.einsum("...kgts,...ksh->...kgth", powers, values)
        return new_largest, total * shrink + jnp.sum(powers, axis=-1), out

    empty = jnp.zeros(queries.shape[:-1], queries.dtype)
    state = (empty - jnp.inf, empty, jnp.zeros_like(queries))
    _, total, out = jax.lax.fori_loop(0, (filled + block - 1) // block, add_block, state)
    out = out / jnp.where(total == 0, 1, total)[..., None]
    return jnp.moveaxis(_ungroup_heads(out), -3, -2).astype(query.dtype)


def _group(query: Query, key: Key) -> Grouped:
    """Query heads beside the key head they share, heads before positions."""
    N, K = query.shape[-2], key.shape[-2]
    if N % K:
        raise InputError(f"scaled_dot_product_attention: {N} query heads do not divide among {K} key/value heads.")
    heads_first = jnp.moveaxis(query, -3, -2)
    return heads_first.reshape(*query.shape[:-3], K, N // K, *heads_first.shape[-2:])


def _ungroup_heads(x: Float[Any, "*batch K G T X"]) -> Float[Any, "*batch N T X"]:
    return x.reshape(*x.shape[:-4], x.shape[-4] * x.shape[-3], *x.shape[-2:])
