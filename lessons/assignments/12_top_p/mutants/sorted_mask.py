"""The mask stands in sorted order; it belongs to the tokens.

mask[order] = ... puts it back.
"""

CHANGES = {
    "mask[order] = before < p - 1e-12": "mask[:] = before < p - 1e-12",
}
