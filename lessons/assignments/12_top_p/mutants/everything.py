"""Nothing is cut off: all tokens are allowed.

Compare the total probability of the likelier tokens with p.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask[order] = before < 2",
}
