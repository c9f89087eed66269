"""Below delta the loss is half the square.

r**2 / 2, whose derivative is r.
"""

CHANGES = {
    "return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))": "return np.where(size <= delta, residuals**2, delta * (size - delta / 2))",
}
