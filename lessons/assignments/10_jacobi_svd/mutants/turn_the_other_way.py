"""The sign of the angle is wrong: the product of the columns grows instead of vanishing.

zeta = (beta - alpha) / (2 gamma).
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    if gamma == 0:
        return np.eye(2)
    zeta = (alpha - beta) / (2 * gamma)
    tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))
    c = 1 / np.sqrt(1 + tangent**2)
    return np.array([[c, c * tangent], [-c * tangent, c]])
