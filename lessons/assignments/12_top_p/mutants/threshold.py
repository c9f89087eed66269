"""p is not a threshold for a single probability: it is what the allowed tokens have together.

Sort, add up, and see where p is reached.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask = probabilities >= p",
}
