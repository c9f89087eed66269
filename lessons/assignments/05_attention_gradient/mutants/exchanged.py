"""dquery and dkey are exchanged, or made of each other's partner.

scores = query key^T: the slope by the query has the key in it, and the other way round.
"""

CHANGES = {
    "return dscores @ key, dscores.T @ query, dvalue": "return dscores.T @ query, dscores @ key, dvalue",
}
