"""Causal attention of a short sequence to itself, as training and scoring want it.

A mask hides half of the scores, and hidden scores cost as much as others. Here the queries come in a few blocks, and
each block meets only the keys that some query of it may see: with 8 blocks 36 of 64 parts of the table are computed.
Each block has all its keys at once, so its softmax is the plain one; for the backward pass the weights are kept,
nothing else of that size. That is the fastest while the weights fit a cache; longer sequences go by `flash`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.attention.shared import check_blocks
from minillm.axes import Key, Query, Value, checked, wide
from minillm.errors import InputError
from minillm.layers.softmax_jax import softmax

Grouped = Float[Any, "*batch K G T H"]
Heads = Float[Any, "*batch K T H"]
_BLOCK, _MOST_BLOCKS = 64, 8  # queries of a block, at least; blocks, at most, for each is compiled


@partial(jax.jit, static_argnames="window")
@checked
def causal_attention(query: Query, key: Key, value: Value, window: int | None = None) -> Query:
    """`scaled_dot_product_attention` with `causal_mask(T, T, window=window)`."""
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    if S != T:
        raise InputError(f"causal_attention: {T} queries and {S} keys; a sequence attends to itself.")
    check_blocks(T, S, N, K, True, window, _BLOCK)
    queries, keys, values = (jnp.moveaxis(x, -3, -2) for x in (query, key, value))
    out = _attend(queries.reshape(*query.shape[:-3], K, N // K, T, H), keys, values, window)
    return jnp.moveaxis(out.reshape(queries.shape), -3, -2)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(queries: Grouped, keys: Heads, values: Heads, window: int | None) -> Grouped:
    return _forward(queries, keys, values, window)[0]


def _forward(queries: Grouped, keys: Heads, values: Heads, window: int | None) -> Any:
    G, T, H = queries.shape[-3:]
    scaled, outs, saved = queries * H**-0.5, [], []
    for rows, columns in _blocks(T, window):
        query_position, key_position = (jnp.arange(part.start, part.stop) for part in (rows, columns))
        visible = key_position <= query_position[:, None]
        if window is not None:
            visible &= key_position > query_position[:, None] - window
        scores = jnp.einsum("...rh,...sh->...rs", _rows_of(scaled, rows), keys[..., columns, :])
        weights = softmax(jnp.where(jnp.tile(visible, (G, 1)), scores, -jnp.inf))
        saved.append(weights)
        out = jnp.einsum("...rs,...sh->...rh", weights, values[..., columns, :])
        outs.append(out.reshape(queries[..., rows, :].shape))
    out = jnp.concatenate(outs, axis=-2)
    return out, (queries, keys, values, saved, out)


def _backward(window: int | None, saved: Any, g: Grouped) -> Any:
    """The reference's gradient, block by block; a key has the sum of what the blocks that see it give."""
    queries, keys, values, weights_of_blocks, out = saved
    T, H = queries.shape[-2:]
    delta = jnp.sum(wide(g) * wide(out), axis=-1, keepdims=True).astype(g.dtype)  # sum over s of weight * dweight
    dqueries, dkeys, dvalues = [], jnp.zeros_like(keys), jnp.zeros_like(values)
    for (rows, columns), weights in zip(_blocks(T, window), weights_of_blocks, strict=True):
        upstream = _rows_of(g, rows)
        dweights = jnp.einsum("...rh,...sh->...rs", upstream, values[..., columns, :])
        dscores = weights * (dweights - _rows_of(delta, rows)) * H**-0.5
        dquery = jnp.einsum("...rs,...sh->...rh", dscores, keys[..., columns, :])
        dqueries.append(dquery.reshape(g[..., rows, :].shape))
        dkey = jnp.einsum("...rs,...rh->...sh", dscores, _rows_of(queries, rows))
        dvalue = jnp.einsum("...rs,...rh->...sh", weights, upstream)
        dkeys, dvalues = dkeys.at[..., columns, :].add(dkey), dvalues.at[..., columns, :].add(dvalue)
    return jnp.concatenate(dqueries, axis=-2), dkeys, dvalues


_attend.defvjp(_forward, _backward)


def _blocks(T: int, window: int | None) -> Iterator[tuple[slice, slice]]:
    """The blocks of queries, each with the keys that it may see any of."""
    size = max(_BLOCK, -(-T // _MOST_BLOCKS))
    for start in range(0, T, size):
        stop = min(start + size, T)
        yield slice(start, stop), slice(0 if window is None else max(0, start - window + 1), stop)


def _rows_of(x: Float[Any, "*batch K G T X"], rows: slice) -> Float[Any, "*batch K R X"]:
    """A block of the queries of all G heads that share a key head, as the rows of one matrix."""
    return x[..., rows, :].reshape(*x.shape[:-3], -1, x.shape[-1])
