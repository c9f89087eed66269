"""dquery and dkey are exchanged, or each is computed from the wrong array.

scores = query key^T, so the gradient by the query contains the key, and the other way round.
"""

CHANGES = {
    "return dscores @ key, dscores.T @ query, dvalue": "return dscores.T @ query, dscores @ key, dvalue",
}
