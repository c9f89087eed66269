"""theta is an argument; it is not always 10,000.

Use the theta that is given.
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": "angles = positions[:, None] * 10_000.0 ** (-2 * np.arange(head_dim // 2) / head_dim)",
}
