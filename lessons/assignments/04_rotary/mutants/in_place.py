"""The input array itself is rotated, and the caller loses its values.

Make a new array: np.empty_like(x).
"""

CHANGES = {
    "rotated = np.empty_like(x)": "rotated = x",
}
