"""c and s do not satisfy c^2 + s^2 = 1: the columns change their lengths.

c = 1 / sqrt(1 + tan^2).
"""

import numpy as np


def jacobi_rotation(alpha, beta, gamma):
    if gamma == 0:
        return np.eye(2)
    zeta = (beta - alpha) / (2 * gamma)
    tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))
    c = 1.0
    return np.array([[c, c * tangent], [-c * tangent, c]])
