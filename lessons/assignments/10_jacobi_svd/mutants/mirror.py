"""One sign is missing: this is a reflection, not a rotation.

[[c, s], [-s, c]].
"""

CHANGES = {
    "return np.array([[c, c * tangent], [-c * tangent, c]])": "return np.array([[c, c * tangent], [c * tangent, -c]])",
}
