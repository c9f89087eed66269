"""The rotation goes the other way: the signs of the two sines are exchanged.

(a, b) becomes (a cos - b sin, b cos + a sin).
"""

CHANGES = {
    """rotated[..., first] = x[..., first] * cos - x[..., second] * sin
    rotated[..., second] = x[..., second] * cos + x[..., first] * sin""": """rotated[..., first] = x[..., first] * cos + x[..., second] * sin
    rotated[..., second] = x[..., second] * cos - x[..., first] * sin""",
}
