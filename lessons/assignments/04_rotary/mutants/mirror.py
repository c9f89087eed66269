"""This is a mirror and no turn: one of the two signs is wrong.

(a, b) becomes (a cos - b sin, b cos + a sin): one minus.
"""

CHANGES = {
    "turned[..., second] = x[..., second] * cos + x[..., first] * sin": "turned[..., second] = x[..., second] * cos - x[..., first] * sin",
}
