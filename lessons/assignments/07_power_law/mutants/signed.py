"""The loss of a large negative residual is negative.

delta * (|r| - delta / 2), with |r| in both cases.
"""

CHANGES = {
    "return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))": "return np.where(size <= delta, residuals**2 / 2, delta * (residuals - delta / 2))",
}
