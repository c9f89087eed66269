"""Laws of context extension: what each way does to the angles, and that every path of the model follows it."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.attention import cache as reference_cache
from minillm.attention import cache_jax as jax_cache
from minillm.attention.cache import cache_bytes
from minillm.attention.context_extension import (
    llama3_factors,
    ntk_aware,
    position_interpolation,
    yarn,
    yarn_attention_factor,
    yarn_factors,
)
from minillm.attention.rotary import rotary_frequencies
from minillm.config import TINY, Config
from minillm.errors import InputError
from minillm.transformer import transformer as reference_transformer
from minillm.transformer import transformer_jax as jax_transformer
from minillm.transformer.transformer_laws import models

ORACLE = json.loads((Path(__file__).parents[1] / "oracle" / "rope.json").read_text(encoding="utf-8"))
WAYS = {"linear": position_interpolation, "dynamic": ntk_aware, "yarn": yarn}
SIDES = [(reference_cache, reference_transformer), (jax_cache, jax_transformer)]
each_side = pytest.mark.parametrize(("cache", "transformer"), SIDES, ids=["numpy", "jax"])
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: way.__name__)

scales = st.floats(1, 64)
configs = st.builds(
    Config,
    *map(st.just, (7, 1, 4, 2, 1)),
    head_dim=st.sampled_from([4, 6, 32, 64]),
    ffn_dim=st.just(5),
    context_length=st.sampled_from([64, 2048, 8192]),
    rope_theta=st.sampled_from([100.0, 10_000.0, 500_000.0]),
)


def frequencies(config):
    return rotary_frequencies(config.head_dim, config.rope_theta, config.rope_factors)


def test_llama3_factors_by_hand():
    # theta 1e4, H 4: frequencies 1 and 0.01. In 200 tokens the first wave turns 200 / 2pi = 31.8 times (> 4: kept, 1)
    # and the second 0.318 times (< 1: slowed by 8). In 1000 tokens the second turns 1.59155 times, which is
    # (1.59155 - 1) / 3 = 0.19718 of the way from slowed to kept: 1 / (0.19718 + 0.80282 / 8) = 3.3608.
    np.testing.assert_allclose(llama3_factors(4, 1e4, 8.0, 1.0, 4.0, 200), [1, 8])
    np.testing.assert_allclose(llama3_factors(4, 1e4, 8.0, 1.0, 4.0, 1000), [1, 3.3608], rtol=1e-4)


def test_yarn_by_hand():
    # H 8, theta 10^4, L 2048. Pair H ln(L / (2 pi r)) / (2 ln theta) turns r times: r = 32 at 1.008, rounded down to 1;
    # r = 1 at 2.514, rounded up to 3. So pairs 0 and 1 stay, pair 3 is divided by 4, and pair 2, half way up the ramp,
    # turns (1 + 1/4) / 2 times as fast: divided by 1.6.
    config = yarn(replace(TINY, head_dim=8, context_length=2048), 4)
    np.testing.assert_allclose(config.rope_factors, [1, 1, 1.6, 4], rtol=1e-12)
    assert config.rope_attention_factor == pytest.approx(1.138629436)  # 0.1 ln 4 + 1


@pytest.mark.parametrize("case", ORACLE, ids=lambda case: f"{case['kind']}-{case['head_dim']}")
def test_transformers_turns_as_fast(case):
    trained = replace(TINY, head_dim=case["head_dim"], rope_theta=case["theta"], context_length=case["trained_length"])
    stretched = WAYS[case["kind"]](trained, case["scale"])
    np.testing.assert_allclose(frequencies(stretched), case["frequencies"], rtol=1e-12)
    assert stretched.rope_attention_factor == pytest.approx(case["attention_factor"], rel=1e-12)


@each_way
@given(config=configs)
def test_scale_one_changes_nothing(way, config):
    same = way(config, 1)
    np.testing.assert_array_equal(frequencies(same), frequencies(config))
    assert (same.context_length, same.rope_attention_factor) == (config.context_length, 1)


@given(configs, scales, st.integers(0, 10_000))
def test_interpolated_position_times_scale_is_the_position(config, scale, position):
    angles = scale * position * frequencies(position_interpolation(config, scale))
    np.testing.assert_allclose(angles, position * frequencies(config), rtol=1e-12)


@given(configs, scales)
def test_ntk_keeps_the_fastest_pair_and_interpolates_the_slowest(config, scale):
    ratio = frequencies(config) / frequencies(ntk_aware(config, scale))
    assert ratio[0] == 1
    assert ratio[-1] == pytest.approx(scale)
    assert (np.diff(ratio) >= -1e-9).all()


@given(configs, scales)
def test_yarn_keeps_what_turns_often_and_interpolates_what_hardly_turns(config, scale):
    """By the turns within the trained length: above 32 nothing changes, below 1 everything does.

    The bounds are rounded outwards to whole pairs, so the pair next to a bound may be on the ramp.
    """
    turns = config.context_length * frequencies(config) / (2 * np.pi)
    ratio = np.array(yarn(config, scale).rope_factors)
    one_pair = config.rope_theta ** (2 / config.head_dim)
    np.testing.assert_allclose(ratio[turns >= 32 * one_pair], 1)
    np.testing.assert_allclose(ratio[turns <= 1 / one_pair], scale)
    assert ((ratio >= 1 - 1e-12) & (ratio <= scale + 1e-9)).all()
    assert (np.diff(ratio) >= -1e-12).all()


@given(scales, scales)
def test_temperatures_logarithm_adds_up(first, second):
    both = yarn_attention_factor(first * second)
    assert both - 1 == pytest.approx(yarn_attention_factor(first) - 1 + yarn_attention_factor(second) - 1, abs=1e-12)


@given(models(), st.sampled_from([1.25, 2.0]))
@settings(max_examples=5)
def test_the_attention_factor_is_a_scale_of_every_query_and_key(model, factor):
    """cos and sin times f equal query and key matrices times f each: the logits of attention times f squared."""
    config, params = model
    tokens = np.arange(14).reshape(2, 7)
    sharper = replace(config, rope_attention_factor=factor)
    scaled = jax.tree.map(np.copy, params)
    for layer in scaled["layers"]:
        layer["attention"]["query"] *= factor
        layer["attention"]["key"] *= factor
    plain = replace(config, rope_attention_factor=1.0)
    np.testing.assert_allclose(
        reference_transformer.transformer(params, tokens, sharper),
        reference_transformer.transformer(scaled, tokens, plain),
        rtol=1e-9,
    )
    assert not np.allclose(
        reference_transformer.transformer(params, tokens, sharper),
        reference_transformer.transformer(params, tokens, plain),
    )


@each_side
@each_way
@pytest.mark.parametrize("window", [None, 3])
def test_chunks_and_single_tokens_give_the_full_forward_beyond_the_trained_length(cache, transformer, way, window):
    """Trained at 5, stretched to 20, read to 11 in every mix of chunks and single tokens; so do sliding windows."""
    trained = Config(31, 2, 12, 4, 2, 6, 11, context_length=5, rope_theta=100.0, sliding_window=window)
    config, rng = way(trained, 4), np.random.default_rng(0)
    params = reference_transformer.init_params(config, rng)
    params = jax.tree.map(lambda w: 10 * w if w.ndim == 2 else w, params)
    tokens = rng.integers(0, 31, (2, 11), np.int32)
    whole = np.asarray(reference_transformer.transformer(params, tokens, config))
    for cuts in ([4, 11], [1, 2, 9, 10, 11], [6, 7, 8, 11]):
        state = cache.init_cache(config, 2, 11)
        for first, last in zip([0, *cuts], cuts, strict=False):
            logits, state = transformer.prefill(params, tokens[:, first:last], state, config)
            np.testing.assert_allclose(logits, whole[:, last - 1], atol=2e-5 * np.abs(whole).max())


@each_side
@pytest.mark.parametrize("num_kv_heads", [12, 4, 2, 1])
def test_the_cache_shrinks_with_the_key_value_heads(cache, transformer, num_kv_heads):
    """Multi-head, grouped-query and multi-query: the arrays' own bytes are the formula's, to the byte."""
    config = Config(31, 3, 24, 12, num_kv_heads, 6, 11)
    arrays = jax.tree.leaves(cache.init_cache(config, 2, 37, np.float16).layers)
    held = sum(array.nbytes for array in arrays)
    assert held == cache_bytes(config, 2, 37, 2) == 2 * 3 * 2 * 37 * num_kv_heads * 6 * 2
    assert held * 12 == cache_bytes(replace(config, num_kv_heads=12), 2, 37, 2) * num_kv_heads


@each_way
@pytest.mark.parametrize("scale", [0.5, float("inf"), float("nan")])
def test_a_scale_that_cannot_be_is_refused(way, scale):
    with pytest.raises(InputError, match="must be at least 1 and finite"):
        way(replace(TINY, head_dim=4), scale)


@each_way
def test_a_model_is_stretched_once(way):
    with pytest.raises(InputError, match="stretched already"):
        way(yarn(replace(TINY, head_dim=4), 2), 2)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(InputError, match="one pair"):
        ntk_aware(TINY, 2)
    with pytest.raises(InputError, match="beta_slow 32"):
        yarn_factors(8, 1e4, 4, 2048, beta_fast=1, beta_slow=32)
    with pytest.raises(InputError, match="rope_attention_factor is 0"):
        replace(TINY, rope_attention_factor=0)
