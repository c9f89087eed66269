"""Laws of attention (the reference, and what the twin does beyond it; agreement is tests/house/test_twins.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.attention import attention as reference_attention
from minillm.attention import attention_jax as jax_attention
from minillm.attention.attention import (
    attention_naive,
    causal_mask,
    scaled_dot_product_attention,
)
from minillm.attention.attention_laws import attention_problems, head_counts
from minillm.errors import InputError
from minillm.strategies import normal, seeds


def test_by_hand():
    # H = 1, query 1, keys 0 and ln 3: scores 0 and ln 3, probabilities 1/4 and 3/4, of values 4 and 8: 1 + 6 = 7
    query, key = np.ones((1, 1, 1)), np.array([0.0, np.log(3.0)]).reshape(2, 1, 1)
    value = np.array([4.0, 8.0]).reshape(2, 1, 1)
    np.testing.assert_allclose(scaled_dot_product_attention(query, key, value), [[[7.0]]])


@given(attention_problems())
def test_it_is_the_definition(problem):
    query, key, value, mask = problem
    expected = [attention_naive(q, k, v, mask) for q, k, v in zip(query, key, value, strict=True)]
    np.testing.assert_allclose(scaled_dot_product_attention(query, key, value, mask), expected, atol=1e-12)


@given(attention_problems())
def test_the_output_lies_among_the_values(problem):
    query, key, _, mask = problem
    out = scaled_dot_product_attention(query, key, np.ones_like(key), mask)
    (_, T, N, _), S = query.shape, key.shape[1]
    sees_any = np.broadcast_to(True if mask is None else mask, (N, T, S)).any(-1).T
    np.testing.assert_allclose(out, np.broadcast_to(sees_any[None, :, :, None], out.shape), atol=1e-12)


@given(attention_problems(), seeds)
def test_the_order_of_keys_does_not_matter(problem, seed):
    query, key, value, mask = problem
    order = np.random.default_rng(seed).permutation(key.shape[1])
    permuted = scaled_dot_product_attention(
        query, key[:, order], value[:, order], None if mask is None else mask[..., order]
    )
    np.testing.assert_allclose(permuted, scaled_dot_product_attention(query, key, value, mask), atol=1e-12)


@given(attention_problems())
def test_what_is_masked_does_not_matter(problem):
    query, key, value, mask = problem
    if mask is not None:
        hidden = ~np.broadcast_to(mask, (query.shape[2], *mask.shape[-2:])).any((0, 1))
        changed_key, changed_value = key.copy(), value.copy()
        changed_key[:, hidden], changed_value[:, hidden] = 99.0, -99.0
        np.testing.assert_array_equal(
            scaled_dot_product_attention(query, changed_key, changed_value, mask),
            scaled_dot_product_attention(query, key, value, mask),
        )


@given(head_counts, seeds)
def test_grouped_queries_are_repeated_key_heads(heads, seed):
    N, K = heads
    query, key, value = normal(seed, 2, 5, N, 4), normal(seed + 1, 2, 7, K, 4), normal(seed + 2, 2, 7, K, 4)
    repeated = [np.repeat(x, N // K, axis=2) for x in (key, value)]
    np.testing.assert_allclose(
        scaled_dot_product_attention(query, key, value), scaled_dot_product_attention(query, *repeated), atol=1e-13
    )


@pytest.mark.parametrize("function", [causal_mask, jax_attention.causal_mask])
def test_causal_mask_by_hand(function):
    # positions 2 and 3 of a sequence of 4; with a window of 2 each sees itself and the one before
    np.testing.assert_array_equal(function(2, 4, 2), [[1, 1, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(function(2, 4, 2, 2), [[0, 1, 1, 0], [0, 0, 1, 1]])


@given(st.integers(1, 5), st.integers(0, 9), st.sampled_from([None, 1, 2, 100]))
def test_a_row_of_the_causal_mask_counts_its_past(T, offset, window):
    counts = causal_mask(T, T + offset, offset, window).sum(-1)
    np.testing.assert_array_equal(counts, np.minimum(offset + np.arange(T) + 1, window or 10**6))


def test_gradients_say_the_same_of_the_twin():
    query, key, value = (jnp.asarray(normal(i, 1, 5, 2, 4), jnp.float32) for i in range(3))

    def output_at(t, value):
        mask = jax_attention.causal_mask(5, 5)
        return jax_attention.scaled_dot_product_attention(query, key, value, mask)[0, t].sum()

    for t in range(5):
        seen = np.abs(jax.grad(output_at, argnums=1)(t, value)[0]).sum((-1, -2)) > 0
        np.testing.assert_array_equal(seen, np.arange(5) <= t)


@pytest.mark.parametrize("module", [reference_attention, jax_attention], ids=["numpy", "jax"])
def test_what_does_not_fit_is_named(module):
    query, key = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 2, 2, 4), np.float32)
    with pytest.raises(InputError, match="3 query heads do not divide among 2 key/value heads"):
        module.scaled_dot_product_attention(query, key, key)
    with pytest.raises(InputError, match=r"value has shape \(1, 3, 2, 4\), but axis S is 2 in key"):
        module.scaled_dot_product_attention(query, key, np.ones((1, 3, 2, 4), np.float32))
    with pytest.raises(InputError, match="mask has dtype float32; it must be boolean"):
        module.scaled_dot_product_attention(query, key[:, :, :1], key[:, :, :1], np.ones((2, 2), np.float32))
