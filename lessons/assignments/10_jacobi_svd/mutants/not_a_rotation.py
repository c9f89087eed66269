"""c and s do not satisfy c^2 + s^2 = 1, so the columns change their lengths.

c = 1 / sqrt(1 + tan^2).
"""

CHANGES = {
    "c = 1 / np.sqrt(1 + tangent**2)": "c = 1.0",
}
