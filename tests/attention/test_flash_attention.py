"""Laws of attention in blocks: it is attention, in memory that grows with T alone, and so is its gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.attention import attention_jax as accelerated_attention
from minillm.attention import flash as reference
from minillm.attention import flash_jax as accelerated
from minillm.attention.attention import causal_mask, scaled_dot_product_attention
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.fast.flash_pallas import flash_attention as kernel
from minillm.attention.flash_laws import flash_problems
from minillm.errors import InputError
from minillm.strategies import normal

each_side = pytest.mark.parametrize("side", [reference, accelerated], ids=["numpy", "jax"])


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


@given(flash_problems())
def test_the_gradient_is_that_of_attention(problem):
    query, key, value, causal, window, block = problem
    mask = visible(query, key, causal, window)
    with jax.enable_x64(True):
        upstream = jnp.asarray(normal(3, *query.shape))
        arrays = [jnp.asarray(x) for x in (query, key, value)]
        _, ours = jax.vjp(lambda *a: accelerated.flash_attention(*a, causal, window, block), *arrays)
        _, plain = jax.vjp(
            lambda *a: accelerated_attention.scaled_dot_product_attention(
                *a, None if mask is None else jnp.asarray(mask)
            ),
            *arrays,
        )
        for got, expected in zip(ours(upstream), plain(upstream), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-10 * max(1, np.abs(expected).max()))


def assert_it_is_attention(query, key, value, upstream, causal, window, scale=1):
    """In blocks of 4, in float64: the values, and the gradients of the form in one block, which grow with `scale`."""
    mask = visible(query, key, causal, window)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in (query, key, value)]
        got, ours = jax.vjp(lambda *a: accelerated.flash_attention(*a, causal, window, 4), *arrays)
        np.testing.assert_allclose(got, scaled_dot_product_attention(query, key, value, mask), atol=1e-12 * scale)
        _, plain = scaled_dot_product_attention_vjp(query, key, value, mask)
        for mine, expected in zip(ours(jnp.asarray(upstream)), plain(upstream), strict=True):
            np.testing.assert_allclose(mine, expected, atol=1e-11 * scale)


@pytest.mark.parametrize(
    ("T", "S", "causal", "window"),
    [
        (8, 8, True, None),  # the diagonal cuts blocks from corner to corner
        (7, 7, True, None),  # and the last block is filled up
        (8, 12, True, None),
        (8, 9, True, None),  # it cuts them elsewhere
        (8, 11, True, None),
        (8, 8, True, 3),
        (7, 7, False, None),  # no diagonal, a last block filled up
    ],
)
def test_where_the_diagonal_falls_does_not_matter(T, S, causal, window):
    """Blocks of 4, two query heads to a key head: the values, and the gradients of the form in one block."""
    query, key, value, upstream = (normal(i, 1, t, n, 8) for i, (t, n) in enumerate([(T, 4), (S, 2), (S, 2), (T, 4)]))
    assert_it_is_attention(query, key, value, upstream, causal, window)


@pytest.mark.parametrize("scale", [1, 30, 1000])
@pytest.mark.parametrize(("causal", "window"), [(True, None), (True, 3), (False, None)])
def test_scores_far_above_a_query_s_own_do_not_overflow(scale, causal, window):
    """exp(score - own) is up to e^1000 here: such a block is computed again, with its largest score."""
    query, key, value, upstream = (normal(i, 1, 11, n, 8) for i, n in enumerate([4, 2, 2, 4]))
    assert_it_is_attention(scale * query, key, value, upstream, causal, window, scale)


def test_not_a_number_stays_where_it_is_seen():
    query, key, value = (normal(i, 1, 8, 1, 4).astype(np.float32) for i in range(3))
    key[0, 5] = np.nan
    out = np.asarray(accelerated.flash_attention(query, key, value, True, None, 4))
    assert np.isfinite(out[0, :5]).all() and np.isnan(out[0, 5:]).all()


@pytest.mark.parametrize("scale", [1, 1000])
def test_all_heads_at_once_are_the_heads_one_by_one(scale):
    """What a GPU or TPU runs. One head too large brings all to be computed again; without one, none is."""
    grid = accelerated._Grid(8, 8, 2, True, None, 4, "heads")
    heads = scale * normal(0, 3, 8, 2, 4), normal(1, 3, 8, 4), normal(2, 3, 8, 4)
    at_once = jax.vmap(partial(accelerated._forward, grid), axis_name="heads")
    assert "cond[" in str(jax.make_jaxpr(at_once)(*heads))  # and not both branches for every head
    alone = accelerated._Grid(8, 8, 2, True, None, 4)
    for got, *expected in zip(
        jax.tree.leaves(at_once(*heads)),
        *(jax.tree.leaves(accelerated._forward(alone, *head)) for head in zip(*heads, strict=True)),
        strict=True,
    ):
        np.testing.assert_allclose(got, np.stack(expected), rtol=2e-5, atol=1e-6)


def test_memory_grows_with_the_length_and_not_with_its_square():
    """What XLA sets aside for forward and backward at T = 8192 is under 5 % of the scores it never makes."""
    T, N, H = 8192, 8, 64
    shape = jax.ShapeDtypeStruct((1, T, N, H), np.float32)

    def loss(*arrays):
        return accelerated.flash_attention(*arrays).sum()

    def output_and_gradients(query, key, value, upstream):
        out, vjp = jax.vjp(accelerated.flash_attention, query, key, value)
        return out, vjp(upstream)

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile()
    most = jax.jit(output_and_gradients).lower(shape, shape, shape, shape).compile()
    scores = 4 * N * T * T
    arrays = 4 * N * T * H
    assert compiled.memory_analysis().temp_size_in_bytes < 6 * arrays
    for program in (compiled, most):
        assert program.memory_analysis().temp_size_in_bytes < 0.05 * scores


@pytest.mark.parametrize(
    ("shape", "causal", "block"),
    [((2, 16, 16, 4, 2, 8), True, 4), ((1, 8, 16, 2, 1, 8), True, 4), ((1, 16, 8, 2, 2, 8), False, 4)],
)
def test_the_kernel_is_attention_values_and_gradients(shape, causal, block):
    B, T, S, N, K, H = shape
    arrays = [jnp.asarray(normal(i, B, t, n, H), jnp.float32) for i, (t, n) in enumerate([(T, N), (S, K), (S, K)])]
    upstream = jnp.asarray(normal(9, B, T, N, H), jnp.float32)
    got, vjp = jax.vjp(lambda *a: kernel(*a, causal=causal, block=block, interpret=True), *arrays)
    mask = causal_mask(T, S, S - T) if causal else None
    np.testing.assert_allclose(got, scaled_dot_product_attention(*map(np.asarray, arrays), mask), atol=2e-6)
    _, plain = jax.vjp(lambda *a: accelerated.flash_attention(*a, causal=causal), *arrays)
    for ours, theirs in zip(vjp(upstream), plain(upstream), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_kernel_lowers_for_a_tpu(dtype):
    """Through Mosaic, the compiler of TPU kernels, with no TPU present."""
    query = jax.ShapeDtypeStruct((1, 2048, 8, 128), dtype)
    key = jax.ShapeDtypeStruct((1, 2048, 2, 128), dtype)
    lowered = jax.export.export(jax.jit(kernel), platforms=["tpu"])(query, key, key)
    assert "tpu_custom_call" in lowered.mlir_module()


@each_side
def test_what_has_no_meaning_is_refused(side):
    one, two = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 1, 2, 4), np.float32)
    with pytest.raises(InputError, match="3 query heads do not divide among 2 key/value heads"):
        side.flash_attention(one, two, two)
    with pytest.raises(InputError, match="2 queries are more than 1 positions"):
        side.flash_attention(one, two[:, :, :1], two[:, :, :1])
    with pytest.raises(InputError, match="window 2 needs causal=True"):
        side.flash_attention(one, two[:, :, :1], two[:, :, :1], False, 2)


def test_the_kernel_says_which_lengths_it_takes():
    x = jnp.ones((1, 6, 1, 8))
    with pytest.raises(InputError, match="6 queries or 6 keys are no multiple of the block 4"):
        kernel(x, x, x, block=4, interpret=True)
