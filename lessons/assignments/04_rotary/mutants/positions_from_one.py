"""Position 0 is turned: the positions given are taken one too far.

Multiply the positions as they are.
"""

import numpy as np


def rotary_cos_sin(positions, head_dim, theta):
    angles = (positions[:, None] + 1) * theta ** (-2 * np.arange(head_dim // 2) / head_dim)
    return np.cos(angles), np.sin(angles)
