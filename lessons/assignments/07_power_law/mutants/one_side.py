"""A residual below -delta is large too: compare its absolute value.

np.abs(residuals).
"""

CHANGES = {
    "return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))": "return np.where(residuals <= delta, residuals**2 / 2, delta * (size - delta / 2))",
}
