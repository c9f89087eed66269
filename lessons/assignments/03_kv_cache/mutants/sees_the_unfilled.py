"""The token attends to the whole cache: what lies beyond `length` is not filled, and holds anything.

Cut the caches to the first length + 1 places.
"""

CHANGES = {
    "output = grouped_attention(query[None], keys[: length + 1], values[: length + 1])": "output = grouped_attention(query[None], keys, values)",
}
