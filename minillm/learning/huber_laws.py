"""Laws of the Huber loss of a fit."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law
from minillm.learning.huber import huber_objective
from minillm.strategies import arrays, normal, row_shapes, seeds
from minillm.twins import Twin


def huber(residuals: np.ndarray, delta: float) -> np.ndarray:
    """The reference's, for each residual by itself: one run whose loss is off by the residual.

    >>> huber(np.array([0.5, 3.0]), 1.0)
    array([0.125, 2.5  ])
    """
    five = np.array([0.0, -1e3, -1e3, 1.0, 1.0])  # E = 1 and nothing else, so the prediction's logarithm is 0
    one = np.zeros(1)
    each = [huber_objective(five, one, one, np.array([-r]), delta) for r in residuals.ravel()]
    return np.reshape(each, residuals.shape)


@st.composite
def fit_problems(draw: Any) -> tuple[Any, ...]:
    """Runs near Chinchilla's law and constants near its own, so that residuals lie on both sides of delta."""
    starts, seed = draw(st.sampled_from([(), (3,)])), draw(seeds)
    log_size, log_tokens = 18 + 2 * normal(seed, 7), 22 + 2 * normal(seed + 1, 7)
    five = np.array([0.6, 6.0, 7.6, 0.35, 0.37]) + 0.1 * normal(seed + 2, *starts, 5)
    log_loss = 0.9 + 0.1 * normal(seed + 3, 7)
    delta, reduction = draw(st.sampled_from([(1e-3, "sum"), (0.1, "sum"), (0.1, "mean")]))
    return five, log_size, log_tokens, log_loss, delta, reduction


TWINS = (Twin(huber_objective, given=fit_problems(), gradient=("five",), batched=False),)


@law(huber, given=st.tuples(row_shapes.flatmap(arrays), st.sampled_from([1.0, 0.5, 1e-3])))
def small_ones_count_squared_large_ones_once(huber: Any, residuals: np.ndarray, delta: float) -> None:
    """r^2 / 2 up to delta, and delta (|r| - delta / 2) beyond, for every residual by itself."""
    large = np.abs(residuals) > delta
    expected = np.where(large, delta * (np.abs(residuals) - delta / 2), residuals**2 / 2)
    agree(huber(residuals, delta), expected)
