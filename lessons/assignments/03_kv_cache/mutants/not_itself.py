"""The new token does not see itself.

Write its key and value first, then attend to length + 1 positions.
"""

CHANGES = {
    "output = grouped_attention(query[None], keys[: length + 1], values[: length + 1])": "output = grouped_attention(query[None], keys[: max(length, 1)], values[: max(length, 1)])",
}
