"""The same GPT trained twice: in NumPy with every gradient derived by hand, and in JAX, from the same beginning."""

import jax
import numpy as np
import pytest

from minillm.config import Config
from minillm.data.batches import Batches
from minillm.learning import optimizer as reference_optimizer
from minillm.learning import optimizer_jax as jax_optimizer
from minillm.learning.schedules import warmup_cosine
from minillm.learning.schedules_jax import warmup_cosine as jax_schedule
from minillm.transformer.loss_jax import language_model_loss
from minillm.transformer.loss_vjp import language_model_loss_vjp
from minillm.transformer.transformer import init_params

STEPS = 120
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
# Only characters that occur: the gradient of one that never does is nearly all rounding, and Adam takes steps of full
# length in whatever direction that points. For the same reason the rate is moderate: at 0.01 float32 on either side is
# 2e-5 from float64 after 120 steps.
IDS = np.unique(list(TEXT), return_inverse=True)[1].astype(np.int32)
CONFIG = Config(
    vocab_size=len(set(TEXT)),
    num_layers=2,
    model_dim=24,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    ffn_dim=40,
    context_length=16,
)
SCHEDULE = {"peak": 0.003, "total_steps": STEPS, "warmup_steps": 10}
BATCHES = Batches(IDS, batch_size=4, length=16, seed=0)


def train_reference(params):
    state, losses = reference_optimizer.adamw_init(params), []
    for step in range(STEPS):
        loss, vjp = language_model_loss_vjp(params, *BATCHES.rows(step), CONFIG)
        (gradients,) = vjp(np.ones_like(loss))
        gradients = reference_optimizer.clip_by_global_norm(gradients, 1.0)
        rate = warmup_cosine(step, **SCHEDULE)
        params, state = reference_optimizer.adamw_update(gradients, state, params, rate)
        losses.append(float(loss))
    return params, np.array(losses)


def train_in_jax(params):
    @jax.jit
    def one(params, state, step, tokens, labels):
        loss, gradients = jax.value_and_grad(language_model_loss)(params, tokens, labels, CONFIG)
        gradients = jax_optimizer.clip_by_global_norm(gradients, 1.0)
        rate = jax_schedule(step, **SCHEDULE)
        return *jax_optimizer.adamw_update(gradients, state, params, rate), loss

    params = jax.tree.map(jax.numpy.asarray, params)
    state, losses = jax_optimizer.adamw_init(params), []
    for step in range(STEPS):
        params, state, loss = one(params, state, np.int32(step), *BATCHES.rows(step))
        losses.append(float(loss))
    return params, np.array(losses)


@pytest.fixture(scope="module")
def in_float64():
    params = init_params(CONFIG, np.random.default_rng(0), np.float64)
    with jax.enable_x64(True):
        return train_reference(params), train_in_jax(params)


def test_it_learns(in_float64):
    (_, losses), _ = in_float64
    np.testing.assert_allclose(losses[0], np.log(len(set(TEXT))), rtol=0.02)  # a fresh model knows nothing
    assert losses[-10:].mean() < 1.5


def test_parameters_agree_in_float64_after_120_steps(in_float64):
    (expected, expected_losses), (got, losses) = in_float64
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-9)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)


def test_losses_agree_in_float32_all_along():
    params = init_params(CONFIG, np.random.default_rng(0), np.float32)
    expected, expected_losses = train_reference(params)
    _, losses = train_in_jax(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(expected)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
