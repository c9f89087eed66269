"""Fitting a power law.

Losses of models of several sizes follow L = E + A x^-alpha: a part that nothing reduces, and one that
falls with size. A straight line through logarithms finds A and alpha; a loss that counts outliers once,
not squared, keeps one failed run from spoiling the fit.
"""

import numpy as np


def fit_power_law(x, losses, irreducible):
    """Fit L = E + A x^-alpha, E being `irreducible`, by least squares of log(L - E) on log x.

    `x` and `losses` are (runs,). Gives two numbers: {FORM}, and alpha (above 0 where losses fall).
    """
    # BEGIN SOLUTION
    slope, height = np.polyfit(np.log(x), np.log(losses - irreducible), 1)
    return float(FORM), float(-slope)
    # END SOLUTION


def huber(residuals, delta):
    """r^2 / 2 where |r| is at most delta, delta (|r| - delta / 2) beyond: for each residual, in the
    same shape.
    """
    # BEGIN SOLUTION
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))
    # END SOLUTION
