"""Laws of fitting a power law."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law, several
from minillm.learning import scaling_fit


def fit_power_law(x: np.ndarray, losses: np.ndarray, irreducible: float) -> tuple[float, float]:
    """The reference's A and alpha of L = E + A x^-alpha.

    >>> [round(number, 6) for number in fit_power_law(np.array([1.0, 4.0]), np.array([3.0, 2.0]), 1.0)]
    [2.0, 0.5]
    """
    law = scaling_fit.fit_power_law(x, losses, irreducible)
    return float(np.exp(law.intercept)), law.exponent


@st.composite
def laws_and_sizes(draw: Any) -> tuple[Any, ...]:
    """A law, and sizes to measure it at: two at least."""
    x = 10.0 ** np.arange(draw(st.sampled_from([2, 3, 5])))
    constant, exponent = draw(st.sampled_from([1.0, 2.0, 400.0])), draw(st.sampled_from([1.0, 0.5, 0.34]))
    irreducible = draw(st.sampled_from([0.0, 1.0, 1.69]))
    return x, irreducible + constant * x**-exponent, irreducible


ALONE = {
    "minimise": "takes a function of its own side; tests/learning/test_scaling_laws.py holds each to a known minimum",
    "fit_chinchilla": "a descent of many steps, whose last may differ; tests/learning/test_scaling_laws.py holds both",
    "fit_power_law": "a line through a handful of points: nothing to compile",
    "skill": "a ratio of two errors",
    "isoflop_minimum": "a parabola, and an error where it has no minimum",
}


@law(fit_power_law, given=laws_and_sizes())
def an_exact_law_is_found_again(fit: Any, x: np.ndarray, losses: np.ndarray, irreducible: float) -> None:
    """From losses that follow E + A x^-alpha without noise, A and alpha give every loss back."""
    constant, exponent = several(fit(x, losses, irreducible), 2, "A, alpha")
    slope = np.log((losses[0] - irreducible) / (losses[-1] - irreducible)) / np.log(x[-1] / x[0])
    agree(exponent, np.asarray(slope), 1e-6, of="alpha")
    agree(constant, np.asarray((losses[0] - irreducible) * x[0] ** slope), 1e-6, of="A")


@law(
    fit_power_law,
    given=st.sampled_from([(1.0, 2.0, 1.0), (4.0, 1.0, 4.0), (1.0, 3.0, 5.0)]).map(lambda y: (np.array(y),)),
)
def noise_is_fitted_by_least_squares_of_logarithms(fit: Any, losses: np.ndarray) -> None:
    """Where losses do not lie on a line, log A and alpha are those of least squares of log(L - E) on log x."""
    x, logs = np.array([1.0, 10.0, 100.0]), np.log(losses)
    constant, exponent = several(fit(x, losses, 0.0), 2, "A, alpha")
    slope = (logs[2] - logs[0]) / (2 * np.log(10.0))  # of three even places, the middle one does not tilt the line
    agree(exponent, np.asarray(-slope), of="alpha")
    agree(constant, np.asarray(np.exp(logs.mean() - slope * np.log(10.0))), of="A")
