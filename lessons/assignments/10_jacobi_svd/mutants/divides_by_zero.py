"""Perpendicular columns have gamma = 0, and the formula divides by it.

Give back the identity there.
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    gamma = np.float64(gamma)
    zeta = (beta - alpha) / (2 * gamma)
    tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))
    c = 1 / np.sqrt(1 + tangent**2)
    return np.array([[c, c * tangent], [-c * tangent, c]])
