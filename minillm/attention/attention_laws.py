"""Laws of causal attention, of grouped heads, of decoding with a cache, and of the gradient."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.attention.attention import (
    AttentionWeights,
    attention_naive,
    causal_mask,
    multi_head_attention,
    scaled_dot_product_attention,
)
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.cache import LayerCache, append
from minillm.laws import agree, law, require, several, shaped
from minillm.strategies import arrays, booleans, normal, seeds
from minillm.twins import Twin


def causal_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The reference under a causal mask; the last query stands at the last key.

    >>> causal_attention(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), np.array([[[2.0]], [[4.0]]])).ravel()
    array([2., 3.])
    """
    T, S = query.shape[-3], key.shape[-3]
    return scaled_dot_product_attention(query, key, value, causal_mask(T, S, S - T))


def decode(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, keys: np.ndarray, values: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's step: one token's heads (N, H) and (K, H), with caches (S, K, H) of which `length` are filled.

    >>> one, empty = np.ones((1, 1)), np.zeros((2, 1, 1))
    >>> decode(one, one, one, empty, empty, 0)[1].ravel()
    array([1., 0.])
    """
    layer = LayerCache(np.moveaxis(keys, 0, 1), np.moveaxis(values, 0, 1))
    keys, values = (np.moveaxis(x, 0, 1) for x in append(layer, key[None], value[None], length))
    out = scaled_dot_product_attention(query[None], keys[: length + 1], values[: length + 1])
    return out[0], keys, values


def attention_gradient(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, upstream: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's gradient for one head and no mask: (T, H), (S, H), (S, H) and (T, H).

    >>> attention_gradient(*[np.ones((1, 1))] * 4)[2]
    array([[1.]])
    """
    _, vjp = scaled_dot_product_attention_vjp(query[:, None], key[:, None], value[:, None])
    dquery, dkey, dvalue = vjp(upstream[:, None])
    return dquery[:, 0], dkey[:, 0], dvalue[:, 0]


@st.composite
def causal_problems(draw: Any, head_counts: Any = ((1, 1), (2, 2), (3, 3))) -> tuple[np.ndarray, ...]:
    """Queries at the end of the keys: as many, or fewer."""
    T, S = draw(st.sampled_from([(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 5)]))
    (N, K), H = draw(st.sampled_from(head_counts)), draw(st.sampled_from([1, 2, 4]))
    return draw(arrays((T, N, H))), draw(arrays((S, K, H))), draw(arrays((S, K, H)))


@st.composite
def decode_problems(draw: Any) -> tuple[Any, ...]:
    """A cache with as many positions filled as `length` says; what lies beyond holds numbers too."""
    (N, K), H = draw(st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2), (6, 2)])), draw(st.sampled_from([1, 2]))
    S, length = draw(st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 1), (5, 3)]))
    heads = draw(arrays((N, H))), draw(arrays((K, H))), draw(arrays((K, H)))
    return *heads, draw(arrays((S, K, H))), draw(arrays((S, K, H))), length


@st.composite
def gradient_problems(draw: Any) -> tuple[np.ndarray, ...]:
    """One head."""
    T, S, H = draw(st.sampled_from([(1, 1, 1), (1, 2, 1), (2, 1, 1), (1, 2, 2), (2, 3, 2), (3, 2, 4)]))
    elements = st.floats(-3, 3, allow_subnormal=False, width=32)
    return tuple(draw(arrays(shape, elements)) for shape in ((T, H), (S, H), (S, H), (T, H)))


head_counts = st.sampled_from([(3, 3), (6, 3), (6, 1)])  # multi-head, grouped-query, multi-query


@st.composite
def attention_problems(draw: Any) -> tuple[Any, ...]:
    """A batch of queries, keys and values, under masks of every kind."""
    B, T, S, H = 2, 5, 7, 4
    (N, K), seed = draw(head_counts), draw(seeds)
    causal = st.builds(causal_mask, st.just(T), st.just(S), st.integers(0, 4), st.sampled_from([None, 1, 3]))
    mask = draw(st.one_of(causal, booleans((T, S)), booleans((N, T, S)) if N > K > 1 else st.none()))
    return draw(arrays((B, T, N, H))), normal(seed, B, S, K, H), normal(seed + 1, B, S, K, H), mask


@st.composite
def layer_problems(draw: Any) -> tuple[Any, ...]:
    """The stream, a layer's four matrices, a causal mask and angles."""
    B, T, D, H = 2, 5, 7, 4
    (N, K), seed = draw(head_counts), draw(seeds)
    shapes = (D, N * H), (D, K * H), (D, K * H), (N * H, D)
    weights = AttentionWeights(*(normal(seed + i, *shape) / D for i, shape in enumerate(shapes)))
    angles = np.arange(T)[:, None] * np.array([1.0, 0.1])
    return draw(arrays((B, T, D))), weights, H, causal_mask(T, T), (np.cos(angles), np.sin(angles))


TWINS = (
    Twin(
        causal_mask,
        given=st.tuples(st.just(3), st.just(7), st.sampled_from([0, 4]), st.sampled_from([None, 2])),
        exact=True,
        batched=False,
    ),
    Twin(
        scaled_dot_product_attention,
        given=attention_problems(),
        gradient=("query", "key", "value"),
        float32=1e-5,
    ),
    Twin(multi_head_attention, given=layer_problems(), gradient=("x", "weights"), float32=1e-5),
)
ALONE = {
    "attention_naive": "a form kept for teaching; tests/attention/test_attention.py holds it to the vectorised one",
    "group_heads": "a layout of heads; held through scaled_dot_product_attention",
    "ungroup_heads": "a layout of heads; held through scaled_dot_product_attention",
    **{
        f"fast.{name}": "a fast form; tests/attention/test_fast_attention.py holds it to the plain twin"
        for name in (
            "causal.causal_attention",
            "choose.attend",
            "flash.flash_blocks",
            "flash.one_head",
            "prefix.prefix_attention",
        )
    },
    "fast.device.by_device": "chooses among others' kernels; tests/attention/test_device_attention.py holds them",
    "fast.device.device_kernels": "chooses among others' kernels; tests/attention/test_device_attention.py holds them",
}


@law(causal_attention, given=causal_problems())
def output_is_the_definition(causal_attention: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    """Each output is the mean of the values up to its own place, weighted by softmax(q k / sqrt(H))."""
    T, S = len(query), len(key)
    agree(causal_attention(query, key, value), attention_naive(query, key, value, causal_mask(T, S, S - T)))


@law(
    causal_attention,
    given=st.tuples(st.sampled_from([(2, 1, 1), (3, 2, 2)]), seeds).map(lambda p: (normal(p[1], 3, *p[0]),)),
    keeps={"zeros": "nothing changes zeros", "input": "a token's own query knows no other token"},
)
def the_future_changes_nothing(causal_attention: Any, heads: np.ndarray) -> None:
    """Changing the last token changes no output before it."""
    before = shaped(causal_attention(*heads), heads[0])
    changed = heads + np.where(np.arange(heads.shape[1]) == heads.shape[1] - 1, 7.0, 0.0)[:, None, None]
    agree(shaped(causal_attention(*changed), heads[0])[:-1], before[:-1], of="the outputs before the last token")


def attended(x: np.ndarray, weights: AttentionWeights, head_dim: int) -> np.ndarray:
    """The reference's layer under a causal mask, without positions.

    >>> one = np.ones((1, 1))
    >>> attended(np.array([[2.0]]), AttentionWeights(one, one, one, one), 1)
    array([[2.]])
    """
    return multi_head_attention(x, weights, head_dim, causal_mask(len(x), len(x)))[0]


@st.composite
def single_layers(draw: Any) -> tuple[Any, ...]:
    """A text of five vectors, and a layer's matrices."""
    (N, K), seed, D, H = draw(head_counts), draw(seeds), 7, 4
    shapes = (D, N * H), (D, K * H), (D, K * H), (N * H, D)
    return normal(seed, 5, D), AttentionWeights(*(normal(seed + 1 + i, *s) / D for i, s in enumerate(shapes))), H


@law(attended, given=single_layers(), keeps={"input": "a vector by itself knows no other"})
def the_future_changes_nothing_in_a_layer(attended: Any, x: np.ndarray, weights: Any, head_dim: int) -> None:
    """Changing the last tokens changes no output before them, and theirs."""
    before = shaped(attended(x, weights, head_dim), x)
    after = shaped(attended(x + np.where(np.arange(5) < 3, 0.0, 7.0)[:, None], weights, head_dim), x)
    agree(after[:3], before[:3], of="the outputs before the changed tokens")
    require(np.abs(after[3:] - before[3:]).max() > 1e-3, "the outputs of the changed tokens should change", after)


@law(
    scaled_dot_product_attention,
    given=causal_problems(((1, 1), (2, 1), (2, 2), (4, 2), (6, 2))),
)
def grouped_heads_share(attention: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    """Query head n asks key/value head n // (N / K)."""
    agree(attention(query, key, value), attention_naive(query, key, value))


@law(decode, given=decode_problems())
def a_step_is_attention_over_what_is_filled(
    decode: Any,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    length: int,
) -> None:
    """The new token attends to the filled places and itself, and to nothing beyond."""
    past = [np.concatenate([old[:length], new[None]]) for old, new in ((keys, key), (values, value))]
    out, *_ = several(decode(query, key, value, keys, values, length), 3, "output, keys, values")
    agree(out, attention_naive(query[None], *past)[0])


@law(decode, given=decode_problems())
def a_step_writes_one_place(
    decode: Any,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    length: int,
) -> None:
    """The new key and value stand at `length`; all other places are as they were."""
    _, *new = several(decode(query, key, value, keys, values, length), 3, "output, keys, values")
    for name, got, old, one in (("keys", new[0], keys, key), ("values", new[1], values, value)):
        expected = old.copy()
        expected[length] = one
        agree(got, expected, of=f"the {name}")


@law(
    decode,
    scaled_dot_product_attention,
    given=st.tuples(st.sampled_from([(1, 1, 1), (2, 2, 1), (3, 4, 2)]), seeds),
)
def decoding_is_the_whole_at_once(decode: Any, attention: Any, shape: tuple[int, int, int], seed: int) -> None:
    """Token after token with the cache gives what causal attention over the whole text gives."""
    T, N, K = shape
    query, key, value = normal(seed, T, N, 2), normal(seed + 1, T, K, 2), normal(seed + 2, T, K, 2)
    keys, values = np.zeros((T, K, 2)), np.zeros((T, K, 2))
    for t in range(T):
        out, *past = several(decode(query[t], key[t], value[t], keys, values, t), 3, "output, keys, values")
        keys, values = (shaped(x, keys, "the cache") for x in past)
        expected = attention_naive(query[t : t + 1], key[: t + 1], value[: t + 1])[0]
        agree(out, expected, of=f"the output of token {t}")


@law(attention_gradient, given=gradient_problems())
def gradient_is_that_of_central_differences(gradient: Any, *problem: np.ndarray) -> None:
    """dq, dk and dv are the slopes of sum(upstream * attention(q, k, v)), as small steps show them."""
    *heads, upstream = problem

    def loss(*heads: np.ndarray) -> float:
        return float(np.sum(upstream * attention_naive(*(x[:, None] for x in heads))[:, 0]))

    gradients = several(gradient(*problem), 3, "dquery, dkey, dvalue")
    for index, name in enumerate(("dquery", "dkey", "dvalue")):
        slopes, step = np.zeros(heads[index].shape), 1e-5
        for place in np.ndindex(slopes.shape):
            ends = []
            for sign in (1, -1):
                moved = [x.copy() for x in heads]
                moved[index][place] += sign * step
                ends.append(loss(*moved))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        agree(gradients[index], slopes, 1e-6, of=name)


@law(
    attention_gradient,
    given=gradient_problems(),
    keeps={"zeros": "zeros sum to 0"},
)
def moving_all_keys_alike_changes_nothing(gradient: Any, *problem: np.ndarray) -> None:
    """The gradients of the keys sum to 0: the same vector added to all keys adds the same to all scores of a query."""
    _, dkey, _ = several(gradient(*problem), 3, "dquery, dkey, dvalue")
    agree(
        np.sum(shaped(dkey, problem[1], "dkey"), axis=0),
        np.zeros(problem[1].shape[-1]),
        of="the sum of dkey over the keys",
    )
