"""Below delta it is half the square.

r**2 / 2, whose slope is r.
"""

import numpy as np


def huber(residuals, delta):
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2, delta * (size - delta / 2))
