"""The gradient of attention, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.attention.attention import group_heads, ungroup_heads
from minillm.attention.rotary_vjp import rotary_embedding_vjp
from minillm.attention.shared import AttentionWeights
from minillm.axes import Hidden, Key, Mask, Query, Rotation, Value, checked
from minillm.layers.linear_vjp import linear_vjp
from minillm.layers.softmax_vjp import masked_softmax_vjp, softmax_vjp


@checked
def scaled_dot_product_attention_vjp(
    query: Query, key: Key, value: Value, mask: Mask | None = None, scale: float | None = None
) -> tuple[Query, Callable[[Query], tuple[Query, Key, Value]]]:
    """`scaled_dot_product_attention` and its gradient, in the form of `jax.vjp`.

    With scores S = scale Q K^T, probabilities A = softmax(S) and output A V, for an upstream g:
    dV = A^T g,  dA = g V^T,  dS = softmax_vjp(dA),  dQ = scale dS K,  dK = scale dS^T Q.
    A shared key/value head gets the sum over its queries, all of which lie in one matrix here. Where a query may
    not look A and dS are 0, so nothing comes back from there; nor to a query that may look nowhere.

    >>> one = np.ones((1, 1, 2))
    >>> _, vjp = scaled_dot_product_attention_vjp(one, np.concatenate([one, one]), np.concatenate([one, 3 * one]))
    >>> vjp(one)[2].tolist()
    [[[0.5, 0.5]], [[0.5, 0.5]]]
    """
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    queries, keys, values = group_heads(query, K), np.moveaxis(key, -3, -2), np.moveaxis(value, -3, -2)
    scale = H**-0.5 if scale is None else scale
    scores = (queries @ keys.swapaxes(-1, -2) * scale).reshape(*query.shape[:-3], N, T, S)
    weights, softmax_back = softmax_vjp(scores) if mask is None else masked_softmax_vjp(scores, mask)
    weights = weights.reshape(*queries.shape[:-1], S)

    def vjp(g: Query) -> tuple[Query, Key, Value]:
        upstream = group_heads(g, K)
        dvalues = weights.swapaxes(-1, -2) @ upstream
        [dscores] = softmax_back((upstream @ values.swapaxes(-1, -2)).reshape(scores.shape))
        dscores = dscores.reshape(weights.shape) * scale
        dqueries, dkeys = dscores @ keys, dscores.swapaxes(-1, -2) @ queries
        return ungroup_heads(dqueries, N), np.moveaxis(dkeys, -3, -2), np.moveaxis(dvalues, -3, -2)

    return ungroup_heads(weights @ values, N), vjp


@checked
def multi_head_attention_vjp(
    x: Hidden,
    weights: AttentionWeights,
    head_dim: int,
    mask: Mask | None = None,
    rotation: tuple[Rotation, Rotation] | None = None,
) -> tuple[Hidden, Callable[[Hidden], tuple[Hidden, AttentionWeights]]]:
    """`multi_head_attention` without a cache, and its gradient: its steps, backwards.

    x goes three ways, as queries, keys and values, and gets the sum of what comes back.

    >>> identity = AttentionWeights(*[np.eye(2)] * 4)
    >>> multi_head_attention_vjp(np.array([[1.0, 0.0]]), identity, head_dim=2)[1](np.array([[5.0, 7.0]]))[0]
    array([[5., 7.]])
    """
    weights = AttentionWeights(*weights)
    projected = [linear_vjp(x, w) for w in (weights.query, weights.key, weights.value)]
    query, key, value = (heads.reshape(*x.shape[:-1], -1, head_dim) for heads, _ in projected)
    if rotation is not None:
        (query, query_back), (key, key_back) = (rotary_embedding_vjp(part, *rotation) for part in (query, key))
    attended, attention_back = scaled_dot_product_attention_vjp(query, key, value, mask)
    out, output_back = linear_vjp(attended.reshape(*x.shape[:-1], -1), weights.output)

    def vjp(g: Hidden) -> tuple[Hidden, AttentionWeights]:
        dattended, doutput = output_back(g)
        dquery, dkey, dvalue = attention_back(dattended.reshape(attended.shape))
        if rotation is not None:
            [dquery], [dkey] = query_back(dquery), key_back(dkey)
        back = [
            project_back(dheads.reshape(*x.shape[:-1], -1))
            for (_, project_back), dheads in zip(projected, (dquery, dkey, dvalue), strict=True)
        ]
        (dx_query, dw_query), (dx_key, dw_key), (dx_value, dw_value) = back
        return dx_query + dx_key + dx_value, AttentionWeights(dw_query, dw_key, dw_value, doutput)

    return out, vjp
