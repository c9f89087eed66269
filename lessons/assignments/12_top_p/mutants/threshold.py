"""p is no threshold for a single share: it is the mass that the kept ones have together.

Sort, add up, and see where p is reached.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask = shares >= p",
}
