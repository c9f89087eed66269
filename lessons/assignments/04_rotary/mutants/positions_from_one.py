"""Position 0 is rotated: every position is taken one too large.

Use the positions as they are given.
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": "angles = (positions[:, None] + 1) * theta ** (-2 * np.arange(head_dim // 2) / head_dim)",
}
