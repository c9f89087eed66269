"""The second number of a pair is computed from the first after the first was already rotated.

Keep the old values until both are done, or write to a new array.
"""

CHANGES = {
    "rotated[..., second] = x[..., second] * cos + x[..., first] * sin": "rotated[..., second] = x[..., second] * cos + rotated[..., first] * sin",
}
