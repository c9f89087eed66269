"""Normalisation beyond the laws of `minillm.layers.norm_laws`."""

import numpy as np
import pytest
from hypothesis import given

from minillm.errors import InputError
from minillm.layers import norm as reference_norm
from minillm.layers import norm_jax as jax_norm
from minillm.layers.norm import layer_norm, rms_norm
from minillm.layers.norm_laws import norm_problems


def test_by_hand():
    # mean(3^2, 4^2) = 12.5, so each coordinate is divided by sqrt(12.5) = 3.5355
    expected = [3 / 12.5**0.5, 8 / 12.5**0.5]
    np.testing.assert_allclose(rms_norm(np.array([3.0, 4.0]), np.array([1.0, 2.0]), eps=0.0), expected)
    # mean 3, deviations -2, 0, 2, variance 8/3: -2 / 1.63299 = -1.22474, times 2 plus 1 = -1.44949
    got = layer_norm(np.array([1.0, 3.0, 5.0]), np.full(3, 2.0), np.ones(3), eps=0.0)
    np.testing.assert_allclose(got, [-1.449490, 1.0, 3.449490], atol=1e-6)


@given(norm_problems(1))
def test_layer_norm_of_centred_vectors_is_rms_norm(problem):
    x, scale = problem
    centred = x - x.mean(-1, keepdims=True)
    np.testing.assert_allclose(layer_norm(centred, scale, np.zeros_like(scale)), rms_norm(centred, scale), atol=1e-12)


@given(norm_problems(1))
def test_tokens_do_not_see_each_other(problem):
    x, scale = problem
    rows = x.reshape(-1, x.shape[-1])
    changed = np.concatenate([rows, 5 + rows])[: len(rows) + 1]
    np.testing.assert_array_equal(rms_norm(changed, scale)[: len(rows)], rms_norm(rows, scale))


def test_a_zero_vector_stays_zero():
    np.testing.assert_array_equal(rms_norm(np.zeros(5), np.ones(5)), 0)


@pytest.mark.parametrize("module", [reference_norm, jax_norm], ids=["numpy", "jax"])
def test_shapes_that_do_not_fit_are_named(module):
    with pytest.raises(InputError, match=r"rms_norm: scale has shape \(4,\), but axis D is 3 in x"):
        module.rms_norm(np.ones((2, 3), np.float32), np.ones(4, np.float32))
    with pytest.raises(InputError, match=r"rms_norm: scale has shape \(1, 3\); its axes are \(D\)"):
        module.rms_norm(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="rms_norm: x is a list; give an array of floating-point numbers"):
        module.rms_norm([1.0, 2.0], np.ones(2, np.float32))
