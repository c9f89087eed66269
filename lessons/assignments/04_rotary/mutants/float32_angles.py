"""The angles are float32: at position 100,000 they are wrong by thousandths.

Keep the frequencies in float64, NumPy's default.
"""

CHANGES = {
    "angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)": """angles = (
        (positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)).astype(np.float32).astype(np.float64)
    )""",
}
