"""The mask is in sorted order; it should be in the order of the tokens.

mask[order] = ... puts it back.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask[:] = before < p - 1e-12",
}
