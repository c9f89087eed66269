"""The exponent is -2i / H; here it is -i / H.

For H = 4 the two frequencies are theta^0 and theta^(-1/2).
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": "angles = positions[:, None] * theta ** (-np.arange(head_dim // 2) / head_dim)",
}
