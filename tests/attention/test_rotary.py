"""Laws of rotary embedding beyond those of `minillm.attention.rotary_laws`; agreement is tests/house/test_twins.py."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minillm.attention import rotary_jax as jax_rotary
from minillm.attention.rotary import rotary_cos_sin, rotary_embedding, rotary_frequencies
from minillm.strategies import arrays

heads = arrays((5, 3, 4))


def turned(x, positions, theta=100.0):
    return rotary_embedding(x, *rotary_cos_sin(np.asarray(positions), x.shape[-1], theta, dtype=np.float64))


def test_by_hand():
    # head_dim 4, theta 100: pairs (x0, x2) at 1 radian a position and (x1, x3) at 0.1. At position 2:
    # (1, 0) turned by 2 is (cos 2, sin 2) = (-0.416147, 0.909297); (0, 1) by 0.2 is (-0.198669, 0.980067)
    got = turned(np.array([[[1.0, 0.0, 0.0, 1.0]]]), [2])
    np.testing.assert_allclose(got[0, 0], [-0.416147, -0.198669, 0.909297, 0.980067], atol=1e-6)


@given(heads)
def test_position_zero_turns_nothing(x):
    np.testing.assert_array_equal(turned(x, [0] * 5), x)


@given(heads, st.integers(0, 50), st.integers(0, 50))
def test_turns_add_up(x, first, second):
    np.testing.assert_allclose(
        turned(turned(x, [first] * 5), [second] * 5), turned(x, [first + second] * 5), atol=1e-11
    )


def test_factors_stretch_the_positions():
    """Dividing every frequency by 4 makes position 4p look like p: position interpolation."""
    stretched = rotary_cos_sin(np.array([4, 40]), 6, factors=(4.0, 4.0, 4.0), dtype=np.float64)
    np.testing.assert_allclose(stretched, rotary_cos_sin(np.array([1, 10]), 6, dtype=np.float64), atol=1e-14)


def test_frequencies_fall_from_one_towards_one_over_theta():
    frequencies = rotary_frequencies(64, 100_000.0)
    assert frequencies[0] == 1
    np.testing.assert_allclose(frequencies[1:] / frequencies[:-1], 100_000 ** (-1 / 32), rtol=1e-12)
    np.testing.assert_array_equal(frequencies, jax_rotary.rotary_frequencies(64, 100_000.0))


def test_float32_stays_exact_far_out():
    """At position 100,000 the plain float32 angle is off by thousandths; ours keeps seven digits."""
    positions = np.array([8_191, 100_003, 16_777_215])
    exact = np.cos(positions[:, None] * rotary_frequencies(64, 10_000.0))
    ours, _ = jax_rotary.rotary_cos_sin(jnp.asarray(positions), 64)
    plain = np.cos(np.float32(positions)[:, None] * rotary_frequencies(64, 10_000.0).astype(np.float32))
    assert np.abs(ours - exact).max() < 5e-7
    assert np.abs(plain - exact)[1].max() > 1e-3
