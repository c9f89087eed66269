"""Fitting a power law.

The losses of models of several sizes follow L = E + A x^-alpha: an irreducible part E, and a part that
falls with the size. A straight line through logarithms finds A and alpha. The Huber loss grows only
linearly for large residuals, so one failed run does not spoil the fit.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    """Fit L = E + A x^-alpha, where E is `irreducible`, by least squares of log(L - E) on log x.

    `x` and `losses` are (runs,). Returns two numbers: {FORM}, and alpha (above 0 if the losses fall).
    """
    # BEGIN SOLUTION
    slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)
    return float(FORM), float(-slope)
    # END SOLUTION


def huber(residuals, delta):
    """r^2 / 2 if |r| is at most delta, else delta (|r| - delta / 2): for each residual, in the same shape."""
    # BEGIN SOLUTION
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))
    # END SOLUTION
