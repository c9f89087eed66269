"""The two pieces do not meet at delta: beyond it, delta * |r| is too large by delta^2 / 2.

delta * (|r| - delta / 2).
"""

CHANGES = {
    "return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))": "return np.where(size <= delta, residuals**2 / 2, delta * size)",
}
