"""Laws of the feed-forward layer (the reference alone; agreement with the twin is tests/house/test_twins.py)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minillm.layers.activations import silu
from minillm.layers.mlp import mlp, swiglu
from minillm.layers.mlp_laws import mlp_problems
from minillm.strategies import seeds


def test_by_hand():
    # gate 2 gives silu(2) = 2 / (1 + e^-2) = 1.761594; up 3; product 5.284782; down 10
    one = np.ones((1, 1))
    np.testing.assert_allclose(swiglu(np.array([1.0]), 2 * one, 3 * one, 10 * one), [52.84782], rtol=1e-6)
    # up 2 x 1 + 1 = 3, squared 9, down 10 x 9 - 5 = 85
    got = mlp(np.array([1.0]), 2 * one, 10 * one, np.ones(1), np.array([-5.0]), activation=np.square)
    np.testing.assert_allclose(got, [85.0])


@given(mlp_problems(2), st.floats(-5, 5))
def test_linear_in_the_up_projection(problem, factor):
    x, gate, up, down = problem
    np.testing.assert_allclose(swiglu(x, gate, factor * up, down), factor * swiglu(x, gate, up, down), atol=1e-10)


@given(mlp_problems(2), seeds)
def test_the_order_of_hidden_units_does_not_matter(problem, seed):
    x, gate, up, down = problem
    order = np.random.default_rng(seed).permutation(up.shape[1])
    np.testing.assert_allclose(
        swiglu(x, gate[:, order], up[:, order], down[order]), swiglu(x, gate, up, down), atol=1e-10
    )


@given(mlp_problems(2))
def test_a_gate_in_place_of_up_is_x_squared_times_the_logistic(problem):
    """With up = gate and h = x gate, silu(h) h; a plain MLP with that activation gives the same."""
    x, gate, _, down = problem
    np.testing.assert_allclose(
        swiglu(x, gate, gate, down), mlp(x, gate, down, activation=lambda h: silu(h) * h), atol=1e-10
    )


@given(mlp_problems(1, biases=True))
def test_zero_biases_are_no_biases(problem):
    x, up, down, up_bias, down_bias = problem
    np.testing.assert_array_equal(mlp(x, up, down, 0 * up_bias, 0 * down_bias), mlp(x, up, down))
