"""Laws of activations (the reference alone; agreement with the twin is tests/house/test_twins.py)."""

import numpy as np
import pytest
from hypothesis import given

from minillm.layers.activations import gelu, gelu_tanh, silu
from minillm.strategies import arrays, vectors

numbers = vectors.flatmap(arrays)
each = pytest.mark.parametrize("activation", [gelu, gelu_tanh, silu])


def test_by_hand():
    # Phi(1) = 0.841345 (normal table); s(1) = 1 / (1 + 1/e) = 0.731059
    # tanh form: sqrt(2/pi) * 1.044715 = 0.833562, tanh of it 0.682384, half of 1.682384 = 0.841192
    assert gelu(np.array(1.0)) == pytest.approx(0.841345, abs=1e-6)
    assert silu(np.array(1.0)) == pytest.approx(0.731059, abs=1e-6)
    assert gelu_tanh(np.array(1.0)) == pytest.approx(0.841192, abs=1e-6)


@each
@given(numbers)
def test_x_and_minus_x_differ_by_x(activation, x):
    """x w(x) with w(x) + w(-x) = 1, so f(x) - f(-x) = x."""
    np.testing.assert_allclose(activation(x) - activation(-x), x, rtol=1e-14, atol=1e-14)


@each
def test_far_out_it_is_x_or_nothing(activation):
    np.testing.assert_allclose(activation(np.array([1e4, -1e4])), [1e4, 0])


@given(numbers)
def test_the_tanh_form_is_near_the_exact_one(x):
    assert np.abs(gelu(x) - gelu_tanh(x)).max() < 5e-4


@given(numbers)
def test_silu_is_the_textbook_form(x):
    np.testing.assert_allclose(silu(x), x / (1 + np.exp(-x)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("activation", "lowest", "at"), [(gelu, -0.16997, -0.75179), (silu, -0.27846, -1.27846)])
def test_the_dip(activation, lowest, at):
    """Where the derivative is zero, to five places: x = -0.75179 for gelu, x = -1.27846 for silu."""
    x = np.linspace(-3, 3, 600_001)
    assert activation(x).min() == pytest.approx(lowest, abs=1e-5)
    assert x[activation(x).argmin()] == pytest.approx(at, abs=2e-5)
