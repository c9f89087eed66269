"""These are the squares of the singular values: the lengths need a root.

np.sqrt of the sum of squares.
"""

CHANGES = {
    "s = np.sqrt((turned**2).sum(axis=0))": "s = (turned**2).sum(axis=0)",
}
