"""Each fast form of attention is the plain twin, in values and gradients; and each keeps what it is there for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.attention import attention_jax as plain
from minillm.attention.attention import causal_mask, scaled_dot_product_attention
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.fast import causal, flash, prefix
from minillm.attention.fast.choose import LONGEST, Causal, attend
from minillm.attention.fast.flash_pallas import flash_attention as kernel
from minillm.attention.shared import AttentionWeights, LayerCache
from minillm.config import TINY
from minillm.errors import InputError
from minillm.strategies import normal

# T queries at positions `start` on, of S for keys: what lies beyond the last query is the empty part of a cache.
WHOLE, AT_THE_END, BEHIND, ONE, FIRST = (11, 11, 0), (4, 11, 7), (5, 11, 3), (1, 11, 4), (1, 11, 0)


def causal_blocks(query, key, value, start, window):
    """In blocks of 3 queries; not from the cache of programs, which would hold those of other blocks."""
    return causal.causal_attention.__wrapped__(query, key, value, window)


def flash_blocks(query, key, value, start, window):
    return flash.flash_blocks(query, key, value, True, window, 4, start)


def in_a_cache(query, key, value, start, window):
    """By blocks again, at a position that the program does not know."""
    return jax.jit(flash_blocks, static_argnums=4)(query, key, value, start, window)


def prefixes(query, key, value, start, window):
    """Of 2, 4, 8 and 11 positions; the fifth token is the first that 4 do not hold."""
    return prefix.prefix_attention.__wrapped__(query, key, value, start, window)


def chosen(query, key, value, start, window):
    return attend(query, key, value, Causal(start, window))


def chosen_in_a_cache(query, key, value, start, window):
    return jax.jit(chosen, static_argnums=4)(query, key, value, start, window)


CASES = [  # few, for each is compiled: form, (T, S, start), window, (N, K)
    (causal_blocks, WHOLE, None, (4, 2)),
    (causal_blocks, WHOLE, 3, (4, 2)),
    (causal_blocks, WHOLE, 1, (3, 3)),
    (flash_blocks, WHOLE, None, (4, 2)),
    (flash_blocks, AT_THE_END, 3, (4, 2)),
    (flash_blocks, BEHIND, 3, (2, 1)),
    (in_a_cache, WHOLE, None, (3, 3)),
    (in_a_cache, BEHIND, None, (4, 2)),
    (in_a_cache, BEHIND, 3, (4, 2)),
    (prefixes, ONE, None, (4, 2)),
    (prefixes, ONE, 3, (2, 1)),
    (prefixes, FIRST, None, (3, 3)),
    (chosen, WHOLE, 3, (4, 2)),
    (chosen, BEHIND, None, (4, 2)),
    (chosen_in_a_cache, BEHIND, 3, (4, 2)),
    (chosen_in_a_cache, ONE, None, (4, 2)),
]


@pytest.mark.parametrize(
    ("form", "shape", "window", "heads"), CASES, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_a_fast_form_is_the_plain_twin_values_and_gradients(monkeypatch, form, shape, window, heads):
    """Of two sequences, in float64; what stands in the empty part of a cache does not matter."""
    monkeypatch.setattr(causal, "_BLOCK", 3)
    monkeypatch.setattr(prefix, "_SHORTEST", 2)
    (T, S, start), (N, K) = shape, heads
    query, upstream = normal(0, 2, T, N, 4), normal(1, 2, T, N, 4)
    key, value = normal(2, 2, S, K, 4), normal(3, 2, S, K, 4)
    key[:, start + T :], value[:, start + T :] = 99.0, -99.0

    def both(function):
        def value_and_gradients(query, key, value, upstream):
            out, vjp = jax.vjp(function, query, key, value)
            return out, *vjp(upstream)

        return jax.jit(value_and_gradients)(query, key, value, upstream)

    with jax.enable_x64(True):
        mask = plain.causal_mask(T, S, start, window)
        expected = both(lambda *arrays: plain.scaled_dot_product_attention(*arrays, mask))
        for got, right in zip(both(lambda *arrays: form(*arrays, start, window)), expected, strict=True):
            np.testing.assert_allclose(got, right, atol=1e-12 * max(1, np.abs(right).max()))


def test_without_a_mask_the_chooser_is_the_plain_twin():
    for S in (9, LONGEST + 1):
        query, key, value = normal(0, 3, 2, 4), normal(1, S, 1, 4), normal(2, S, 1, 4)
        with jax.enable_x64(True):
            got = attend(*map(jnp.asarray, (query, key, value)))
        np.testing.assert_allclose(got, scaled_dot_product_attention(query, key, value), atol=1e-12)


@pytest.mark.parametrize("capacity", [64, 300, 512])
def test_a_prompt_and_a_token_in_a_cache_of_any_capacity(capacity):
    """Through a layer, with blocks of the size that is used: as the plain twin with its mask as an array."""
    weights = AttentionWeights(*(jnp.asarray(normal(i, 8, 8), jnp.float32) for i in range(4)))
    x = jnp.asarray(normal(5, 1, 50, 8), jnp.float32)
    caches = [LayerCache(*[jnp.zeros((1, 2, capacity, 4))] * 2) for _ in range(2)]
    for start, T in ((0, 40), (40, 9), (49, 1)):
        part = x[:, start : start + T]
        mask = plain.causal_mask(T, capacity, start, 45)
        ours, caches[0] = plain.multi_head_attention(
            part, weights, 4, Causal(jnp.asarray(start), 45), None, caches[0], start, attend
        )
        theirs, caches[1] = plain.multi_head_attention(part, weights, 4, mask, None, caches[1], start)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("window", [None, 100])
def test_a_long_sequence_goes_by_flash_attention(window):
    T, N, K = LONGEST + 1, 2, 1
    arrays = [jnp.asarray(normal(i, T, heads, 4), jnp.float32) for i, heads in enumerate((N, K, K))]
    expected, back = scaled_dot_product_attention_vjp(*map(np.float64, arrays), causal_mask(T, T, window=window))
    got, vjp = jax.vjp(lambda *a: attend(*a, Causal(0, window)), *arrays)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for ours, theirs in zip(vjp(arrays[0]), back(np.float64(arrays[0])), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_scores_behind_the_last_query_of_a_block_are_not_computed():
    one = jax.ShapeDtypeStruct((LONGEST, 1, 8), np.float32)
    mask = jax.ShapeDtypeStruct((LONGEST, LONGEST), np.bool_)
    blocks = jax.jit(lambda *arrays: attend(*arrays, Causal())).lower(one, one, one).compile()
    whole = jax.jit(plain.scaled_dot_product_attention).lower(one, one, one, mask).compile()
    # 36 of 64 parts of the table
    assert blocks.cost_analysis()["flops"] < 0.7 * whole.cost_analysis()["flops"]


def test_memory_grows_with_the_length_and_not_with_its_square():
    """What XLA sets aside for forward and backward at T = 8192 is under 5 % of the scores it never makes."""
    T, N, H = 8192, 8, 64
    shape = jax.ShapeDtypeStruct((1, T, N, H), np.float32)

    def attention(*arrays):
        return attend(*arrays, Causal())

    def output_and_gradients(query, key, value, upstream):
        out, vjp = jax.vjp(attention, query, key, value)
        return out, vjp(upstream)

    compiled = jax.jit(jax.grad(lambda *arrays: attention(*arrays).sum(), (0, 1, 2))).lower(*[shape] * 3).compile()
    most = jax.jit(output_and_gradients).lower(*[shape] * 4).compile()
    scores, arrays = 4 * N * T * T, 4 * N * T * H
    assert compiled.memory_analysis().temp_size_in_bytes < 6 * arrays
    for program in (compiled, most):
        assert program.memory_analysis().temp_size_in_bytes < 0.05 * scores


def assert_it_is_attention(query, key, value, upstream, is_causal, window, scale=1):
    """In blocks of 4, in float64: the values, and the gradients of the form in one block, which grow with `scale`."""
    T, S = query.shape[1], key.shape[1]
    mask = causal_mask(T, S, S - T, window) if is_causal else None
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in (query, key, value)]
        got, ours = jax.vjp(lambda *a: flash.flash_blocks(*a, is_causal, window, 4), *arrays)
        np.testing.assert_allclose(got, scaled_dot_product_attention(query, key, value, mask), atol=1e-12 * scale)
        _, expected = scaled_dot_product_attention_vjp(query, key, value, mask)
        for mine, theirs in zip(ours(jnp.asarray(upstream)), expected(upstream), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-11 * scale)


@pytest.mark.parametrize(
    ("T", "S", "is_causal", "window"),
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
def test_where_the_diagonal_falls_does_not_matter(T, S, is_causal, window):
    """Blocks of 4, two query heads to a key head: the values, and the gradients of the form in one block."""
    query, key, value, upstream = (normal(i, 1, t, n, 8) for i, (t, n) in enumerate([(T, 4), (S, 2), (S, 2), (T, 4)]))
    assert_it_is_attention(query, key, value, upstream, is_causal, window)


@pytest.mark.parametrize("scale", [1, 30, 1000])
@pytest.mark.parametrize(("is_causal", "window"), [(True, None), (True, 3), (False, None)])
def test_scores_far_above_a_query_s_own_do_not_overflow(scale, is_causal, window):
    """exp(score - own) is up to e^1000 here: such a block is computed again, with its largest score."""
    query, key, value, upstream = (normal(i, 1, 11, n, 8) for i, n in enumerate([4, 2, 2, 4]))
    assert_it_is_attention(scale * query, key, value, upstream, is_causal, window, scale)


def test_not_a_number_stays_where_it_is_seen():
    query, key, value = (normal(i, 1, 8, 1, 4).astype(np.float32) for i in range(3))
    key[0, 5] = np.nan
    out = np.asarray(flash.flash_blocks(query, key, value, True, None, 4))
    assert np.isfinite(out[0, :5]).all() and np.isnan(out[0, 5:]).all()


@pytest.mark.parametrize("scale", [1, 1000])
def test_all_heads_at_once_are_the_heads_one_by_one(scale):
    """What a GPU or TPU runs. One head too large brings all to be computed again; without one, none is."""
    how = flash.Program(True, None, 4, 0)
    grid = flash.Grid(8, 8, 2, how, None, 4, "heads")
    heads = scale * normal(0, 3, 8, 2, 4), normal(1, 3, 8, 4), normal(2, 3, 8, 4)
    at_once = jax.vmap(partial(flash.one_head, grid), axis_name="heads")
    assert "cond[" in str(jax.make_jaxpr(at_once)(*heads))  # and not both branches for every head
    alone = flash.Grid(8, 8, 2, how, None, 4)
    for got, *expected in zip(
        jax.tree.leaves(at_once(*heads)),
        *(jax.tree.leaves(flash.one_head(alone, *head)) for head in zip(*heads, strict=True)),
        strict=True,
    ):
        np.testing.assert_allclose(got, np.stack(expected), rtol=2e-5, atol=1e-6)


def test_bfloat16_is_close():
    arrays = [normal(i, 1, 9, 2, 4) for i in range(3)]
    expected = scaled_dot_product_attention(*arrays, causal_mask(9, 9))
    got = attend(*(jnp.asarray(x, jnp.bfloat16) for x in arrays), Causal())
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(got, np.float64), expected, atol=0.05)


@pytest.mark.parametrize(
    ("shape", "is_causal", "block"),
    [((2, 16, 16, 4, 2, 8), True, 4), ((1, 8, 16, 2, 1, 8), True, 4), ((1, 16, 8, 2, 2, 8), False, 4)],
)
def test_the_kernel_is_attention_values_and_gradients(shape, is_causal, block):
    B, T, S, N, K, H = shape
    arrays = [jnp.asarray(normal(i, B, t, n, H), jnp.float32) for i, (t, n) in enumerate([(T, N), (S, K), (S, K)])]
    upstream = jnp.asarray(normal(9, B, T, N, H), jnp.float32)
    got, vjp = jax.vjp(lambda *a: kernel(*a, causal=is_causal, block=block, interpret=True), *arrays)
    mask = plain.causal_mask(T, S, S - T) if is_causal else None
    expected, by_jax = jax.vjp(lambda *a: plain.scaled_dot_product_attention(*a, mask), *arrays)
    np.testing.assert_allclose(got, expected, atol=2e-6)
    for ours, theirs in zip(vjp(upstream), by_jax(upstream), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_kernel_lowers_for_a_tpu(dtype):
    """Through Mosaic, the compiler of TPU kernels, with no TPU present."""
    query = jax.ShapeDtypeStruct((1, 2048, 8, 128), dtype)
    key = jax.ShapeDtypeStruct((1, 2048, 2, 128), dtype)
    lowered = jax.export.export(jax.jit(kernel), platforms=["tpu"])(query, key, key)
    assert "tpu_custom_call" in lowered.mlir_module()


def test_the_kernel_says_which_lengths_it_takes():
    x = jnp.ones((1, 6, 1, 8))
    with pytest.raises(InputError, match="6 queries or 6 keys are no multiple of the block 4"):
        kernel(x, x, x, block=4, interpret=True)


def test_what_has_no_meaning_is_refused():
    def ones(T, N):
        return jnp.ones((T, N, TINY.head_dim))

    with pytest.raises(InputError, match="2 queries and 3 keys; a sequence attends to itself"):
        causal.causal_attention(ones(2, 1), ones(3, 1), ones(3, 1))
    with pytest.raises(InputError, match="2 queries; it is for one"):
        prefix.prefix_attention(ones(2, 1), ones(3, 1), ones(3, 1), 0)
    with pytest.raises(InputError, match="2 queries from position 2 on are more than 3 positions"):
        attend(ones(2, 1), ones(3, 1), ones(3, 1), Causal(2))
    with pytest.raises(InputError, match="window 0 needs"):
        attend(ones(2, 1), ones(2, 1), ones(2, 1), Causal(0, 0))
    with pytest.raises(InputError, match="3 query heads do not divide among 2"):
        attend(ones(2, 3), ones(2, 2), ones(2, 2), Causal())
    with pytest.raises(InputError, match="mask is a Causal; give an array of boolean numbers"):
        plain.scaled_dot_product_attention(ones(2, 1), ones(2, 1), ones(2, 1), Causal())
