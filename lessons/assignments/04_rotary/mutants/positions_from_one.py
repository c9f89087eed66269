"""Position 0 is turned: the positions given are taken one too far.

Multiply the positions as they are.
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": "angles = (positions[:, None] + 1) * theta ** (-2 * np.arange(head_dim // 2) / head_dim)",
}
