"""The loss of a large negative residual came out negative.

delta * (

r

- delta / 2), with

r

both times.
"""

import numpy as np


def huber(residuals, delta):
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * (residuals - delta / 2))
