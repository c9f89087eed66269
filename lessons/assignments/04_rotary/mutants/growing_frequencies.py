"""The frequencies grow from pair to pair; they should fall, from 1 towards 1 / theta.

The exponent has a minus sign.
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": "angles = positions[:, None] * theta ** (2 * np.arange(head_dim // 2) / head_dim)",
}
