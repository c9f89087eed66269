"""The second half is computed from the first after it was turned already.

Keep the old values until both are done, or write to a new array.
"""

CHANGES = {
    "turned[..., second] = x[..., second] * cos + x[..., first] * sin": "turned[..., second] = x[..., second] * cos + turned[..., first] * sin",
}
