"""Laws of the optimisers, and each against its twin and against optax's own whole optimisers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export

from minillm.config import Config
from minillm.learning import optimizer as reference
from minillm.learning import optimizer_jax as in_jax
from minillm.transformer.transformer import init_params

CONFIG = Config(vocab_size=11, num_layers=2, model_dim=6, num_heads=3, num_kv_heads=1, head_dim=2, ffn_dim=5)
OPTIMIZERS = ["sgd", "adamw"]
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
STEPS = 20


def trees(seed, dtype):
    """A parameter tree with layers in a list, and a gradient for each step; some of them long enough to clip."""
    rng = np.random.default_rng(seed)
    params = init_params(CONFIG, rng, dtype)
    return params, [
        jax.tree.map(lambda p: (rng.standard_normal(p.shape) * 10.0 ** rng.integers(-3, 1)).astype(dtype), params)
        for _ in range(STEPS)
    ]


def trained(side, name, params, gradients, max_norm=1.0):
    """All parameters along the way."""
    state, along = getattr(side, f"{name}_init")(params), []
    update = getattr(side, f"{name}_update")
    if side is in_jax:
        update = jax.jit(update)  # one program, where eagerly every shape is a dozen
    for step, gradient in enumerate(gradients):
        rate = 0.01 * (step + 1) / len(gradients)
        clipped = side.clip_by_global_norm(gradient, max_norm)
        params, state = update(clipped, state, params, rate)
        along.append(params)
    return along, state


def assert_close(got, expected, tolerance):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@each_optimizer
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_twins_agree_after_every_one_of_20_steps(name, dtype, tolerance):
    params, gradients = trees(0, dtype)
    expected, state = trained(reference, name, params, gradients)
    with jax.enable_x64(dtype is np.float64):
        got, got_state = trained(in_jax, name, *jax.tree.map(jnp.asarray, (params, gradients)))
        for after, should_be in zip(got, expected, strict=True):
            assert_close(after, should_be, tolerance)
        assert_close(tuple(got_state), tuple(state), 10 * tolerance)
    assert {leaf.dtype for leaf in jax.tree.leaves(expected)} == {np.dtype(dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {np.dtype(dtype)}


def test_the_whole_equals_optax_put_together_by_itself():
    """The chain that optax's documentation gives, so that our composition of its parts is not its own judge."""
    params, gradients = trees(1, np.float64)
    expected, _ = trained(reference, "adamw", params, gradients)

    def mask(tree):
        return jax.tree.map(lambda leaf: leaf.ndim >= 2, tree)

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        adamw = optax.adamw(lambda count: 0.01 * (count + 1) / STEPS, 0.9, 0.95, weight_decay=0.1, mask=mask)
        chain = optax.chain(optax.clip_by_global_norm(1.0), adamw)
        found = jax.tree.map(jnp.asarray, params)
        state = chain.init(found)
        for gradient, should_be in zip(gradients, expected, strict=True):
            updates, state = chain.update(gradient, state, found)
            found = optax.apply_updates(found, updates)
            assert_close(found, should_be, 1e-12)


@each_optimizer
def test_jitted_equals_eager_and_lowers_for_every_platform(name):
    params, gradients = trees(2, np.float32)
    init, update = getattr(in_jax, f"{name}_init"), getattr(in_jax, f"{name}_update")
    state = init(params)
    jitted = jax.jit(update)
    assert_close(jitted(gradients[0], state, params, 0.01), update(gradients[0], state, params, 0.01), 1e-6)
    export.export(jitted, platforms=["cpu", "cuda", "rocm", "tpu"])(gradients[0], state, params, 0.01)


@pytest.mark.parametrize("side", [reference, in_jax])
def test_adamw_by_hand(side):
    # Gradient 2 at weight 1, first step: both corrected moments are those of one gradient, 2 and 4, so the direction is
    # 2 / sqrt(4) = 1, plus decay 0.5 * 1; the step is 0.1 * 1.5 and the weight becomes 0.85.
    one, two = np.ones((1, 1), np.float32), np.full((1, 1), 2, np.float32)
    params, state = side.adamw_update([two], side.adamw_init([one]), [one], 0.1, weight_decay=0.5)
    np.testing.assert_allclose(params[0], 0.85, rtol=1e-6)
    # Second step, gradient 0: a = 0.9 * 0.2 = 0.18, corrected by 1 - 0.9^2 = 0.19 to 0.947368; b = 0.95 * 0.2 = 0.19,
    # corrected by 1 - 0.95^2 = 0.0975 to 1.948718; direction 0.947368 / 1.395965 = 0.678648, decay 0.5 * 0.85 = 0.425;
    # the weight becomes 0.85 - 0.1 * 1.103648 = 0.739635.
    params, state = side.adamw_update([np.zeros_like(one)], state, params, 0.1, weight_decay=0.5)
    np.testing.assert_allclose(params[0], 0.739635, rtol=2e-6)
    assert int(state.step) == 2


@pytest.mark.parametrize("side", [reference, in_jax])
def test_sgd_by_hand(side):
    # Gradients 1, 1 and momentum 0.5: velocities 1 and 1.5, so the weight goes 0 -> -0.1 -> -0.25.
    one = [np.ones(1, np.float32)]
    params, state = side.sgd_update(one, side.sgd_init(one), [np.zeros(1, np.float32)], 0.1, 0.5)
    np.testing.assert_allclose(params[0], -0.1, rtol=1e-6)
    params, _ = side.sgd_update(one, state, params, 0.1, 0.5)
    np.testing.assert_allclose(params[0], -0.25, rtol=1e-6)


@pytest.mark.parametrize("side", [reference, in_jax])
def test_clipping_leaves_short_gradients_alone_and_gives_long_ones_the_norm(side):
    _, (gradient, *_) = trees(3, np.float32)
    norm = float(side.global_norm(gradient))
    np.testing.assert_allclose(norm, np.linalg.norm(np.concatenate([g.ravel() for g in jax.tree.leaves(gradient)])))
    for untouched in jax.tree.leaves(
        jax.tree.map(np.array_equal, side.clip_by_global_norm(gradient, 2 * norm), gradient)
    ):
        assert untouched
    for share in (0.99, 0.1):
        clipped = side.clip_by_global_norm(gradient, share * norm)
        np.testing.assert_allclose(side.global_norm(clipped), share * norm, rtol=1e-6)
        assert_close(jax.tree.map(lambda g, share=share: g / share, clipped), gradient, 1e-5)  # the direction is kept


@pytest.mark.parametrize("side", [reference, in_jax])
def test_the_norm_of_float16_gradients_is_summed_in_float32(side):
    gradient = [np.full(4, 300, np.float16)]  # 300^2 is beyond float16
    assert float(side.global_norm(gradient)) == 600
    np.testing.assert_array_equal(side.clip_by_global_norm(gradient, 60.0)[0], np.full(4, 30, np.float16))


@pytest.mark.parametrize("side", [reference, in_jax])
def test_decay_without_gradient_shrinks_matrices_and_nothing_else(side):
    params, _ = trees(4, np.float32)
    zero = jax.tree.map(np.zeros_like, params)
    after, _ = side.adamw_update(zero, side.adamw_init(params), params, 0.1, weight_decay=0.2)
    shrunk = jax.tree.map(lambda p: p * np.float32(1 - 0.1 * 0.2) if p.ndim == 2 else p, params)
    assert_close(after, shrunk, 1e-7)
    assert np.array_equal(after["final_norm"], params["final_norm"])


@pytest.mark.parametrize("side", [reference, in_jax])
def test_a_mask_decides_what_decays(side):
    params = [np.ones((2, 2), np.float32), np.ones(2, np.float32)]
    zero, mask = [np.zeros_like(p) for p in params], [False, True]
    after, _ = side.adamw_update(zero, side.adamw_init(params), params, 0.1, weight_decay=0.5, mask=mask)
    np.testing.assert_allclose(after[0], 1)
    np.testing.assert_allclose(after[1], 0.95)


def test_the_first_adam_step_does_not_see_the_size_of_the_gradient():
    params, (gradient, *_) = trees(5, np.float64)
    steps = []
    for size in (1.0, 1e4):
        scaled = jax.tree.map(lambda g, size=size: size * g, gradient)
        steps.append(reference.adamw_update(scaled, reference.adamw_init(params), params, 0.1, eps=0.0)[0])
    assert_close(steps[1], steps[0], 1e-12)


def test_nothing_is_written_in_place():
    params, (gradient, *_) = trees(6, np.float64)
    state = reference.adamw_init(params)
    before = jax.tree.map(np.copy, (params, gradient, tuple(state)))
    reference.adamw_update(reference.clip_by_global_norm(gradient, 0.1), state, params, 0.1)
    for a, b in zip(jax.tree.leaves((params, gradient, tuple(state))), jax.tree.leaves(before), strict=True):
        assert np.array_equal(a, b)
