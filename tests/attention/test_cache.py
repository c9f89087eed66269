"""Laws of the KV cache, of both sides."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.attention import cache as reference_cache
from minillm.attention import cache_jax as jax_cache
from minillm.attention.cache_laws import append_problems
from minillm.config import TINY, Config
from minillm.errors import InputError
from minillm.transformer import transformer as reference_transformer
from minillm.transformer import transformer_jax as jax_transformer
from minillm.transformer.transformer_laws import models

SIDES = [(reference_cache, reference_transformer), (jax_cache, jax_transformer)]
each_side = pytest.mark.parametrize(("cache", "transformer"), SIDES, ids=["numpy", "jax"])
SMOLLM2 = Config(49152, 30, 576, 9, 3, 64, 1536, context_length=8192)


def test_bytes_by_hand():
    # SmolLM2: 2 (keys, values) x 30 layers x 3 heads x 64 x 4 bytes = 46,080 bytes a position
    assert reference_cache.cache_bytes(SMOLLM2, 1, 1) == 46_080
    assert reference_cache.cache_bytes(SMOLLM2, 2, 8192, bytes_per_number=2) == 377_487_360


@each_side
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_arrays_take_the_bytes_of_the_formula(cache, transformer, dtype):
    arrays = jax.tree.leaves(cache.init_cache(SMOLLM2, 2, 37, dtype).layers)
    assert sum(array.nbytes for array in arrays) == reference_cache.cache_bytes(
        SMOLLM2, 2, 37, np.dtype(dtype).itemsize
    )


@given(append_problems())
def test_append_writes_there_and_nowhere_else(problem):
    layer, key, value, start = problem
    before = layer.key.copy()
    after = reference_cache.append(layer, key, value, start)
    np.testing.assert_array_equal(after.key[:, :, start : start + 2], np.moveaxis(key, 1, 2))
    np.testing.assert_array_equal(after.value[:, :, start : start + 2], np.moveaxis(value, 1, 2))
    untouched = np.r_[0:start, start + 2 : layer.key.shape[2]]
    np.testing.assert_array_equal(after.key[:, :, untouched], before[:, :, untouched])
    np.testing.assert_array_equal(layer.key, before)  # the input is as it was


@each_side
@given(model=models(), cuts=st.sets(st.integers(1, 10), max_size=4), capacity=st.sampled_from([11, 300]))
@settings(max_examples=8)
def test_every_chunking_gives_the_full_forward(cache, transformer, model, cuts, capacity):
    """However eleven tokens are cut into pieces, the logits after each piece are those of the whole."""
    config, params = model
    params = jax.tree.map(lambda x: x.astype(np.float32), params)
    tokens = np.random.default_rng(len(cuts)).integers(0, config.vocab_size, (2, 11), np.int32)
    whole = np.asarray(reference_transformer.transformer(params, tokens, config))
    state = cache.init_cache(config, 2, capacity)
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 11], strict=True):
        if last - first == 1:
            logits, state = transformer.decode(params, tokens[:, first], state, config)
        else:
            logits, state = transformer.prefill(params, tokens[:, first:last], state, config)
        assert state.length == last
        np.testing.assert_allclose(logits, whole[:, last - 1], atol=2e-5 * np.abs(whole).max())


@each_side
@given(models())
@settings(max_examples=5)
def test_padding_is_forgotten(cache, transformer, model):
    config, params = model
    params = jax.tree.map(lambda x: x.astype(np.float32), params)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (2, 8), np.int32)
    plain, plain_state = transformer.prefill(params, tokens[:, :5], cache.init_cache(config, 2, 16), config)
    padded, state = transformer.prefill(params, tokens, cache.init_cache(config, 2, 16), config, 5)
    assert state.length == plain_state.length == 5
    np.testing.assert_allclose(padded, plain, atol=2e-5 * np.abs(plain).max())
    next_plain, _ = transformer.decode(params, tokens[:, 0], plain_state, config)
    next_padded, _ = transformer.decode(params, tokens[:, 0], state, config)
    np.testing.assert_allclose(next_padded, next_plain, atol=2e-5 * np.abs(next_plain).max())


@each_side
def test_a_full_cache_says_so(cache, transformer):
    params = reference_transformer.init_params(TINY, np.random.default_rng(0))
    state = cache.init_cache(TINY, 1, 3)
    with pytest.raises(InputError, match="holds 0 of at most 3 positions; 4 more do not fit"):
        transformer.prefill(params, np.array([[1, 2, 3, 4]]), state, TINY)
    _, state = transformer.prefill(params, np.array([[1, 2, 3]]), state, TINY)
    with pytest.raises(InputError, match="holds 3 of at most 3 positions; 1 more do not fit"):
        transformer.decode(params, np.array([1]), state, TINY)
    with pytest.raises(InputError, match="capacity 0 must be at least 1"):
        cache.init_cache(TINY, 1, 0)
