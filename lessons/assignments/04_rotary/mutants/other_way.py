"""The turn goes the other way: the signs of the two sines are exchanged.

(a, b) becomes (a cos - b sin, b cos + a sin).
"""

CHANGES = {
    """turned[..., first] = x[..., first] * cos - x[..., second] * sin
    turned[..., second] = x[..., second] * cos + x[..., first] * sin""": """turned[..., first] = x[..., first] * cos + x[..., second] * sin
    turned[..., second] = x[..., second] * cos - x[..., first] * sin""",
}
