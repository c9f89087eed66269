"""The token attends to the whole cache. What lies beyond `length` is not filled and may hold anything.

Cut the caches to the first length + 1 positions.
"""

CHANGES = {
    "output = grouped_attention(query[None], keys[: length + 1], values[: length + 1])": "output = grouped_attention(query[None], keys, values)",
}
