"""Laws of generation, of both sides."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from minillm.config import GREEDY, TINY, Config, Sampling
from minillm.errors import InputError
from minillm.layers.fast.transposed import transpose_weights
from minillm.strategies import normal
from minillm.transformer import generation as reference
from minillm.transformer import generation_jax as in_jax
from minillm.transformer import transformer as reference_transformer
from minillm.transformer.sampling import sample
from minillm.transformer.sampling_laws import samplings
from minillm.transformer.transformer_laws import models

each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])


def single(params):
    return jax.tree.map(lambda x: x.astype(np.float32), params)


@each_side
@given(models())
@settings(max_examples=5)
def test_greedy_generation_is_teacher_forced_argmax(side, model):
    """Running the whole sequence through the full forward pass predicts each generated token."""
    config, params = model
    prompt = np.array([1, 2, 3], np.int32)
    new = list(side.generate(single(params), prompt, np.zeros(9, np.float32), config))
    logits = reference_transformer.transformer(params, np.array([*prompt, *new]), config)
    np.testing.assert_array_equal(logits[2:-1].argmax(-1), new)


@given(models(), samplings)
@settings(max_examples=4)
def test_the_same_draws_give_the_same_tokens_on_both_sides(model, sampling):
    config, params = model
    draws = np.random.default_rng(0).random(12, np.float32)
    prompt = np.array([4, 5], np.int32)
    expected = list(reference.generate(single(params), prompt, draws, config, sampling))
    assert list(in_jax.generate(single(params), prompt, draws, config, sampling)) == expected
    transposed = transpose_weights(single(params))
    assert list(in_jax.generate(transposed, prompt, draws, config, sampling)) == expected


@each_side
def test_each_token_is_sampled_from_the_full_forward_pass(side):
    config = Config(vocab_size=31, num_layers=2, model_dim=12, num_heads=2, num_kv_heads=1, head_dim=6, ffn_dim=11)
    params = reference_transformer.init_params(config, np.random.default_rng(0))
    params["embedding"] = normal(1, 31, 12).astype(np.float32)
    draws, sequence = np.random.default_rng(2).random(8, np.float32), [7]
    sampling = Sampling(temperature=1.5, top_k=20, top_p=0.9)
    for token, draw in zip(side.generate(params, np.array([7]), draws, config, sampling), draws, strict=True):
        logits = reference_transformer.transformer(params, np.array(sequence), config)[-1:]
        assert token == sample(logits, draw[None], sampling)
        sequence.append(token)


@each_side
def test_it_stops_at_a_stop_token_and_hands_it_over(side):
    params = reference_transformer.init_params(TINY, np.random.default_rng(0))
    free = list(side.generate(params, np.array([1]), np.zeros(6, np.float32), TINY))
    stopped = list(side.generate(params, np.array([1]), np.zeros(6, np.float32), TINY, GREEDY, {free[2]}))
    assert stopped == free[: free.index(free[2]) + 1]


@each_side
def test_what_does_not_fit_the_context_is_refused_at_once(side):
    config = Config(7, 1, 4, 2, 1, 2, 5, context_length=8)
    params = reference_transformer.init_params(config, np.random.default_rng(0))
    for prompt, steps, message in [
        (np.ones(9, int), 1, "The prompt has 9 tokens and the context 8; shorten the prompt"),
        (np.ones(5, int), 4, "ask for at most 3 new tokens"),
        (np.ones(0, int), 1, "The prompt is empty"),
        (np.ones(2, int), 0, "ask for at least 1"),
    ]:
        with pytest.raises(InputError, match=message):
            side.generate(params, prompt, np.zeros(steps, np.float32), config)
    assert len(list(side.generate(params, np.ones(5, int), np.zeros(3, np.float32), config))) == 3


@each_side
def test_damaged_parameters_are_said(side):
    params = reference_transformer.init_params(TINY, np.random.default_rng(0))
    params["final_norm"] = params["final_norm"] * np.float32("nan")
    with pytest.raises(InputError, match="a logit is NaN"):
        list(side.generate(params, np.array([1]), np.zeros(2, np.float32), TINY))


def test_nothing_is_compiled_again_as_a_sequence_grows(caplog):
    """Prompts of 3 to 16 tokens, up to 200 tokens more: one program reads, one continues."""
    config = Config(vocab_size=37, num_layers=1, model_dim=8, num_heads=2, num_kv_heads=1, head_dim=4, ffn_dim=7)
    params = reference_transformer.init_params(config, np.random.default_rng(0))
    with jax.log_compiles():
        for length in (3, 10, 16):
            assert len(list(in_jax.generate(params, np.ones(length, int), np.zeros(200, np.float32), config))) == 200
    compiled = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]
    for name in ("hidden_states", "next_token"):
        assert len([message for message in compiled if f"jit({name})" in message]) == 1
