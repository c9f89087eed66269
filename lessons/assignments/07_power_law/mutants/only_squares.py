"""Every residual is squared, so a single outlier can dominate the fit.

Beyond delta: delta * (|r| - delta / 2).
"""

CHANGES = {
    "return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))": "return residuals**2 / 2",
}
