"""The sign is wrong: this is the way downhill. The gradient points uphill.

Compare with a small step: raise one number of the query by 1e-5 and see.
"""

CHANGES = {
    "return dscores @ key, dscores.T @ query, dvalue": "return -(dscores @ key), -(dscores.T @ query), -dvalue",
}
