"""This is the other solution: a rotation by more than 45 degrees. The columns would keep changing places.

tan t = sign(zeta) / (|zeta| + sqrt(1 + zeta^2)): the smaller of the two.
"""

CHANGES = {
    "tangent = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(1 + zeta**2))": "tangent = -((1.0 if zeta >= 0 else -1.0) * (abs(zeta) + np.sqrt(1 + zeta**2)))",
}
