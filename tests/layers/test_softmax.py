"""Laws of softmax beyond those of `minillm.layers.softmax_laws`; agreement is tests/house/test_twins.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from minillm.errors import InputError
from minillm.layers import softmax as reference_softmax
from minillm.layers import softmax_jax as jax_softmax
from minillm.layers.softmax import log_softmax, masked_softmax, softmax, softmax_naive
from minillm.layers.softmax_laws import masked_scores
from minillm.strategies import arrays, vectors

scores = vectors.flatmap(arrays)


def test_by_hand():
    # exp(0) = 1, exp(ln 2) = 2, exp(ln 5) = 5: shares 1/8, 2/8, 5/8
    np.testing.assert_allclose(softmax(np.log([1.0, 2.0, 5.0])), [0.125, 0.25, 0.625], rtol=1e-15)


@given(scores)
def test_it_is_the_definition(x):
    np.testing.assert_allclose(softmax(x), softmax_naive(x), rtol=1e-13)


@pytest.mark.parametrize("value", [710.0, -1e5, 1e300])
def test_no_score_is_too_large(value):
    np.testing.assert_array_equal(softmax(np.array([value, value])), [0.5, 0.5])
    with pytest.raises(FloatingPointError):  # the naive form shows why the largest is subtracted
        softmax_naive(np.array([value, value]))


@given(masked_scores)
def test_masked_places_are_zero_and_do_not_matter(problem):
    x, mask = problem
    shares = masked_softmax(x, mask)
    assert (shares[~mask] == 0).all()
    np.testing.assert_array_equal(shares, masked_softmax(np.where(mask, x, np.nan), mask))
    np.testing.assert_allclose(shares.sum(-1), mask.any(-1), rtol=1e-14)


@given(masked_scores)
def test_masking_is_leaving_out(problem):
    x, mask = problem
    row, kept = x.reshape(-1, x.shape[-1])[0], mask.reshape(-1, x.shape[-1])[0]
    if kept.any():
        np.testing.assert_allclose(masked_softmax(row, kept)[kept], softmax(row[kept]), rtol=1e-14)


@given(scores)
def test_log_softmax_is_the_logarithm(x):
    np.testing.assert_allclose(np.exp(log_softmax(x)), softmax(x), rtol=1e-12)


def test_log_softmax_keeps_what_softmax_rounds_to_zero():
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -2000.0])), [0.0, -2000.0])


def test_gradients_through_masked_rows_are_zero_not_nan():
    x, mask = jnp.array([[1.0, jnp.inf, 2.0], [1.0, 2.0, 3.0]]), jnp.array([[True, False, True], [False] * 3])
    gradient = jax.grad(lambda x: jax_softmax.masked_softmax(x, mask)[:, 0].sum())(x)
    shares = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    np.testing.assert_allclose(gradient[0], [shares[0] * shares[1], 0, -shares[0] * shares[1]], rtol=1e-5)
    np.testing.assert_array_equal(gradient[1], 0)


@pytest.mark.parametrize("module", [reference_softmax, jax_softmax], ids=["numpy", "jax"])
def test_whole_numbers_are_refused(module):
    with pytest.raises(InputError, match=r"softmax: scores has dtype int\d+; it must be floating-point"):
        module.softmax(np.array([1, 2]))
