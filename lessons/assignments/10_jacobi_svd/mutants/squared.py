"""These are the squares of the singular values: the lengths need a square root.

np.sqrt of the sum of squares.
"""

CHANGES = {
    "s = np.sqrt((rotated**2).sum(axis=0))": "s = (rotated**2).sum(axis=0)",
}
