"""The fast forms of layers are the plain twins, in values and gradients, and keep less for the backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.layers import losses_jax, mlp_jax
from minillm.layers.fast import losses, mlp
from minillm.layers.fast.argmax import argmax
from minillm.layers.shared import IGNORED
from minillm.strategies import normal


def assert_alike(fast, plain, *arrays):
    with jax.enable_x64(True):
        arrays = [jnp.asarray(array) for array in arrays]
        (got, back), (expected, right) = (jax.vjp(function, *arrays) for function in (fast, plain))
        upstream = jnp.asarray(normal(9, *expected.shape))
        np.testing.assert_allclose(got, expected, atol=1e-12)
        for ours, theirs in zip(back(upstream), right(upstream), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_swiglu():
    assert_alike(mlp.swiglu, mlp_jax.swiglu, normal(0, 2, 5, 7), normal(1, 7, 11), normal(2, 7, 11), normal(3, 11, 7))


@pytest.mark.parametrize("labels", [[[3, 0, 6], [1, 1, IGNORED]], [[IGNORED] * 3] * 2], ids=["some", "none"])
def test_cross_entropy(labels):
    labels = np.array(labels)
    assert_alike(
        lambda logits: losses.cross_entropy(logits, labels),
        lambda logits: losses_jax.cross_entropy(logits, labels),
        5 * normal(0, 2, 3, 7),
    )


@pytest.mark.parametrize("cross_entropy", [losses.cross_entropy, losses_jax.cross_entropy], ids=["fast", "plain"])
@pytest.mark.parametrize("label", [7, -1])
def test_inside_jit_an_unknown_label_is_loud(cross_entropy, label):
    loss, gradient = jax.jit(jax.value_and_grad(cross_entropy))(jnp.ones((2, 7)), jnp.array([1, label]))
    assert np.isnan(loss) and np.isnan(gradient[1]).all() and np.isfinite(gradient[0]).all()


def test_the_gradients_keep_less():
    """What a step holds between forward and backward: the logits alone, and of SwiGLU the two projections."""

    def kept(function, *shapes):
        back = jax.eval_shape(lambda *arrays: jax.vjp(function, *arrays)[1], *shapes)
        return sum(leaf.size for leaf in jax.tree.leaves(back))

    labels = np.zeros((64,), np.int32)
    logits = jax.ShapeDtypeStruct((64, 1000), np.float32)
    fast, plain = (kept(lambda z, m=m: m.cross_entropy(z, labels), logits) for m in (losses, losses_jax))
    assert fast < 1.01 * logits.size < plain
    x, up, down = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((64, 8), (8, 128), (128, 8)))
    fast, plain = (kept(m.swiglu, x, up, up, down) for m in (mlp, mlp_jax))
    assert fast + 64 * 128 <= plain


def test_argmax_takes_the_first_of_equal_ones():
    x = np.random.default_rng(0).integers(-3, 4, (50, 9)).astype(np.float32)
    np.testing.assert_array_equal(argmax(jnp.asarray(x)), x.argmax(-1))
