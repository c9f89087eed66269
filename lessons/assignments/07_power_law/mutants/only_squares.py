"""Every residual counts squared: an outlier pulls as hard as it likes.

Beyond delta: delta * (

r

- delta / 2).
"""

import numpy as np


def huber(residuals, delta):
    size = np.abs(residuals)
    return residuals**2 / 2
