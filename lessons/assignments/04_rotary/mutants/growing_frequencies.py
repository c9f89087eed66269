"""The frequencies grow from pair to pair; they should fall, from 1 towards 1 / theta.

The exponent has a minus.
"""

import numpy as np


def rotary_cos_sin(positions, head_dim, theta):
    angles = positions[:, None] * theta ** (2 * np.arange(head_dim // 2) / head_dim)
    return np.cos(angles), np.sin(angles)
