"""Laws of causal attention in blocks: it is attention under the causal mask, and so is its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.attention import attention_jax as attention
from minillm.attention.attention import causal_mask, scaled_dot_product_attention
from minillm.attention.attention_jax import AttentionWeights, Causal
from minillm.attention.attention_laws import head_counts, layer_problems
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.fast import causal as causal_attention
from minillm.errors import InputError
from minillm.strategies import normal, seeds

HEAD_DIM = 4


@st.composite
def problems(draw):
    """Query, key, value, upstream and window; with blocks of 3 queries they make one, two and four blocks."""
    T, (N, K), seed = draw(st.sampled_from([2, 5, 11])), draw(head_counts), draw(seeds)
    shapes = [(2, T, N), (2, T, K), (2, T, K), (2, T, N)]
    arrays = [normal(seed + i, *shape, HEAD_DIM) for i, shape in enumerate(shapes)]
    return *arrays, draw(st.sampled_from([None, 1, 2, 7]))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(causal_attention, "_BLOCK", 3)


def attend(query, key, value, window):
    """Not from the cache of programs, which would hold those of other blocks."""
    return causal_attention.causal_attention.__wrapped__(query, key, value, window)


@pytest.mark.usefixtures("small_blocks")
@given(problem=problems())
def test_it_is_attention_under_the_mask_values_and_gradients(problem):
    *arrays, upstream, window = problem
    T = upstream.shape[1]
    expected, back = scaled_dot_product_attention_vjp(*arrays, causal_mask(T, T, window=window))
    with jax.enable_x64(True):
        got, vjp = jax.vjp(lambda *a: attend(*a, window), *map(jnp.asarray, arrays))
        np.testing.assert_allclose(got, expected, atol=1e-12)
        for ours, theirs in zip(vjp(jnp.asarray(upstream)), back(upstream), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("window", [None, 100])
def test_a_long_sequence_goes_on_as_attention(window):
    T, N, K = causal_attention._LONGEST + 1, 2, 1
    arrays = [jnp.asarray(normal(i, T, heads, HEAD_DIM), jnp.float32) for i, heads in enumerate((N, K, K))]
    expected, back = scaled_dot_product_attention_vjp(*map(np.float64, arrays), causal_mask(T, T, window=window))
    got, vjp = jax.vjp(lambda *a: causal_attention.causal_attention(*a, window), *arrays)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for ours, theirs in zip(vjp(arrays[0]), back(np.float64(arrays[0])), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_long_sequence_keeps_no_table():
    T = 8 * causal_attention._LONGEST
    one = jax.ShapeDtypeStruct((T, 1, 8), np.float32)
    program = jax.jit(lambda *a: jax.vjp(causal_attention.causal_attention, *a)[1](a[0]))
    assert program.lower(one, one, one).compile().memory_analysis().temp_size_in_bytes < 0.2 * 4 * T * T


def test_scores_behind_the_last_query_of_a_block_are_not_computed():
    T, H = 1024, 8
    one = jax.ShapeDtypeStruct((T, 1, H), np.float32)
    mask = jax.ShapeDtypeStruct((T, T), np.bool_)
    blocks = jax.jit(causal_attention.causal_attention).lower(one, one, one).compile()
    whole = jax.jit(attention.scaled_dot_product_attention).lower(one, one, one, mask).compile()
    # 36 of 64 parts of the table
    assert blocks.cost_analysis()["flops"] < 0.7 * whole.cost_analysis()["flops"]


@given(layer_problems(), st.sampled_from([None, 2]))
def test_a_layer_takes_the_mask_by_its_name(problem, window):
    x, weights, head_dim, _, rotation = problem
    T = x.shape[1]
    arguments = jnp.float32(x), AttentionWeights(*map(jnp.float32, weights)), head_dim
    turned = tuple(map(jnp.float32, rotation))
    named, _ = attention.multi_head_attention(*arguments, Causal(window), turned)
    made, _ = attention.multi_head_attention(*arguments, jnp.asarray(causal_mask(T, T, window=window)), turned)
    np.testing.assert_allclose(named, made, atol=1e-5 * max(1, np.abs(made).max()))


def test_what_has_no_meaning_is_refused():
    x, weights = jnp.ones((1, 2, 4)), AttentionWeights(*[jnp.eye(4)] * 4)
    cache = tuple(jnp.zeros((1, 1, 3, 4)) for _ in range(2))
    with pytest.raises(InputError, match="with a cache the mask is an array"):
        attention.multi_head_attention(x, weights, 4, Causal(), None, cache)
    with pytest.raises(InputError, match="2 queries and 3 keys; a sequence attends to itself"):
        causal_attention.causal_attention(jnp.ones((2, 1, 4)), jnp.ones((3, 1, 4)), jnp.ones((3, 1, 4)))
    with pytest.raises(InputError, match="window 0 needs"):
        causal_attention.causal_attention(*[jnp.ones((2, 1, 4))] * 3, 0)
    with pytest.raises(InputError, match="3 query heads do not divide among 2"):
        causal_attention.causal_attention(jnp.ones((2, 3, 4)), jnp.ones((2, 2, 4)), jnp.ones((2, 2, 4)))


def test_bfloat16_is_close():
    arrays = [normal(i, 1, 9, 2, HEAD_DIM) for i in range(3)]
    expected = scaled_dot_product_attention(*arrays, causal_mask(9, 9))
    got = causal_attention.causal_attention(*(jnp.asarray(x, jnp.bfloat16) for x in arrays))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(got, np.float64), expected, atol=0.05)
