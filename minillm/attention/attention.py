"""Attention: every token asks, every token it may see answers, in proportion to how well they match.

    attention(Q, K, V) = softmax(Q K^T / sqrt(H)) V           [Vaswani2017], eq. 1

Several heads ask different questions at once. Query heads may share key/value heads: N = K is
multi-head, 1 < K < N grouped-query [Ainslie2023], K = 1 multi-query [Shazeer2019]. Query heads n
with the same n // (N/K) share a key/value head. A mask is True where a query may look; a query that
may look nowhere gets zeros.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.attention.cache import append
from minillm.attention.rotary import rotary_embedding
from minillm.attention.shared import AttentionWeights, LayerCache, check_heads
from minillm.axes import Hidden, Key, Mask, Query, Rotation, Value, checked
from minillm.layers.linear import linear
from minillm.layers.softmax import masked_softmax, softmax


def causal_mask(query_length: int, key_length: int, offset: int = 0, window: int | None = None) -> Mask:
    """Query t stands at position offset + t and sees keys at positions up to its own, at most `window` of them.

    >>> causal_mask(2, 4, offset=2, window=3).astype(int)
    array([[1, 1, 1, 0],
           [0, 1, 1, 1]])
    """
    query_position = offset + np.arange(query_length)[:, None]
    key_position = np.arange(key_length)
    mask = key_position <= query_position
    return mask if window is None else mask & (key_position > query_position - window)


def attention_naive(query: Query, key: Key, value: Value, mask: Mask | None = None) -> Query:
    """One query at a time, one head at a time: (T, N, H), (S, K, H), (S, K, H) -> (T, N, H).

    >>> one = np.ones((1, 1, 2))
    >>> attention_naive(one, np.concatenate([one, one]), np.concatenate([one, 3 * one]))
    array([[[2., 2.]]])
    """
    (T, N, H), (S, K, _) = query.shape, key.shape
    mask = np.broadcast_to(np.True_ if mask is None else mask, (N, T, S))
    out = np.zeros_like(query)
    for t in range(T):
        for n in range(N):
            k = n // (N // K)
            visible = np.flatnonzero(mask[n, t])
            if visible.size:
                weights = softmax(key[visible, k] @ query[t, n] / np.sqrt(H))
                out[t, n] = weights @ value[visible, k]
    return out


@checked
def scaled_dot_product_attention(
    query: Query, key: Key, value: Value, mask: Mask | None = None, scale: float | None = None
) -> Query:
    """All heads and queries at once. `mask` broadcasts against the scores (*batch, N, T, S); `scale` is 1/sqrt(H).

    >>> one = np.ones((1, 1, 2))
    >>> scaled_dot_product_attention(one, np.concatenate([one, one]), np.concatenate([one, 3 * one]))
    array([[[2., 2.]]])
    """
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    queries, keys, values = group_heads(query, K), np.moveaxis(key, -3, -2), np.moveaxis(value, -3, -2)
    scale = H**-0.5 if scale is None else scale
    scores = (queries @ keys.swapaxes(-1, -2) * scale).reshape(*query.shape[:-3], N, T, S)
    weights = softmax(scores) if mask is None else masked_softmax(scores, mask)
    return ungroup_heads(weights.reshape(*queries.shape[:-1], S) @ values, N)


@checked
def multi_head_attention(
    x: Hidden,
    weights: AttentionWeights,
    head_dim: int,
    mask: Mask | None = None,
    rotation: tuple[Rotation, Rotation] | None = None,
    cache: LayerCache | None = None,
    start: int = 0,
) -> tuple[Hidden, LayerCache | None]:
    """Project, rotate by position, attend, project back; with a cache, attend to what it holds as well.

    The number of heads follows from the weights' shapes. A cache holds `start` positions; the one returned
    holds these tokens too, and `mask` is over all of them.

    >>> identity = AttentionWeights(*[np.eye(2)] * 4)
    >>> multi_head_attention(np.array([[1.0, 0.0]]), identity, head_dim=2)[0]
    array([[1., 0.]])
    """
    weights = AttentionWeights(*weights)
    query, key, value = (
        linear(x, w).reshape(*x.shape[:-1], -1, head_dim) for w in (weights.query, weights.key, weights.value)
    )
    if rotation is not None:
        query, key = rotary_embedding(query, *rotation), rotary_embedding(key, *rotation)
    if cache is not None:
        cache = append(cache, key, value, start)
        filled = slice(start + x.shape[-2])
        key, value = (np.moveaxis(past[..., filled, :], -3, -2) for past in cache)
    out = scaled_dot_product_attention(query, key, value, mask)
    return linear(out.reshape(*x.shape[:-1], -1), weights.output), cache


def group_heads(query: Query, num_kv_heads: int) -> Float[Any, "*batch K GT H"]:
    """Heads before positions, and the G = N/K query heads that share a key/value head in one matrix.

    >>> group_heads(np.zeros((5, 6, 4)), 2).shape
    (2, 15, 4)
    """
    T, N, H = query.shape[-3:]
    check_heads("scaled_dot_product_attention", N, num_kv_heads)
    return np.moveaxis(query, -3, -2).reshape(*query.shape[:-3], num_kv_heads, N // num_kv_heads * T, H)


def ungroup_heads(rows: Float[Any, "*batch K GT H"], num_heads: int) -> Query:
    """The inverse of `group_heads`.

    >>> ungroup_heads(np.zeros((2, 15, 4)), 6).shape
    (5, 6, 4)
    """
    K, GT, H = rows.shape[-3:]
    return np.moveaxis(rows.reshape(*rows.shape[:-3], num_heads, K * GT // num_heads, H), -3, -2)
