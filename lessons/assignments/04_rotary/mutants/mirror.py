"""This is a reflection, not a rotation: one of the two signs is wrong.

(a, b) becomes (a cos - b sin, b cos + a sin): there is one minus.
"""

CHANGES = {
    "rotated[..., second] = x[..., second] * cos + x[..., first] * sin": "rotated[..., second] = x[..., second] * cos - x[..., first] * sin",
}
