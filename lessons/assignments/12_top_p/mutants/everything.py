"""Nothing is cut off: all tokens are kept.

Compare the mass of the likelier ones with p.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask[order] = before < 2",
}
