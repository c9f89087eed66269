"""Laws of attention in blocks: it is attention, and so is its gradient."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.attention import flash as reference
from minillm.attention import flash_jax as in_jax
from minillm.attention.attention import causal_mask, scaled_dot_product_attention
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.flash_laws import flash_problems
from minillm.errors import InputError
from minillm.strategies import normal

each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])


def test_by_hand():
    # Blocks of one key, scores 0 and ln 3 of values 4 and 8. After the first: m 0, l 1, o 4. The second has m' = ln 3,
    # so l' = 1/3 + 1 and o' = 4/3 + 8; o'/l' = (28/3) / (4/3) = 7
    query, key = np.ones((1, 1, 1)), np.array([0.0, np.log(3.0)]).reshape(2, 1, 1)
    out = reference.flash_attention(query, key, np.array([4.0, 8.0]).reshape(2, 1, 1), block=1)
    np.testing.assert_allclose(out, [[[7.0]]])


def visible(query, key, causal, window):
    T, S = query.shape[1], key.shape[1]
    return causal_mask(T, S, S - T, window) if causal else None


@given(flash_problems())
def test_it_is_attention(problem):
    query, key, value, causal, window, _ = problem
    expected = scaled_dot_product_attention(query, key, value, visible(query, key, causal, window))
    np.testing.assert_allclose(reference.flash_attention(*problem), expected, atol=1e-12)


@given(flash_problems(), st.integers(1, 9))
def test_the_size_of_a_block_does_not_matter(problem, block):
    np.testing.assert_allclose(
        reference.flash_attention(*problem[:-1], block), reference.flash_attention(*problem), atol=1e-12
    )


@pytest.mark.parametrize(("causal", "window", "block"), [(True, None, 3), (True, 2, 3), (True, 5, 2), (False, None, 4)])
def test_the_gradient_is_that_of_attention(causal, window, block):
    """JAX's, through the scan, in float64."""
    query, key, value, upstream = (normal(i, 2, t, n, 4) for i, (t, n) in enumerate([(5, 6), (7, 3), (7, 3), (5, 6)]))

    def gradients(query, key, value, upstream):
        _, vjp = jax.vjp(lambda *arrays: in_jax.flash_attention(*arrays, causal, window, block), query, key, value)
        return vjp(upstream)

    _, by_hand = scaled_dot_product_attention_vjp(query, key, value, visible(query, key, causal, window))
    with jax.enable_x64(True):
        for got, expected in zip(jax.jit(gradients)(query, key, value, upstream), by_hand(upstream), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-11)


@each_side
def test_what_has_no_meaning_is_refused(side):
    one, two = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 1, 2, 4), np.float32)
    with pytest.raises(InputError, match="3 query heads do not divide among 2 key/value heads"):
        side.flash_attention(one, two, two)
    with pytest.raises(InputError, match="2 queries are more than 1 positions"):
        side.flash_attention(one, two[:, :, :1], two[:, :, :1])
    with pytest.raises(InputError, match="window 2 needs causal=True"):
        side.flash_attention(one, two[:, :, :1], two[:, :, :1], False, 2)
