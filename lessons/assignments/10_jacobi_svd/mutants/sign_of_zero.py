"""Columns of equal length have zeta = 0, and np.sign(0) is 0, so nothing is rotated although the columns are not
perpendicular.

Take 1 as the sign of 0.
"""

CHANGES = {
    "tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))": "tangent = np.sign(zeta) / (abs(zeta) + np.sqrt(1 + zeta**2))",
}
