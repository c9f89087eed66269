"""The two pieces do not meet at delta: beyond it delta *

r

is too much by delta^2 / 2.

delta * (

r

- delta / 2).
"""

import numpy as np


def huber(residuals, delta):
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * size)
