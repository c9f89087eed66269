"""The sign is wrong: this points downhill, and the gradient points uphill.

Compare with a small step: add 1e-5 to one number of the query and look at the loss.
"""

CHANGES = {
    "return dscores @ key, dscores.T @ query, dvalue": "return -(dscores @ key), -(dscores.T @ query), -dvalue",
}
