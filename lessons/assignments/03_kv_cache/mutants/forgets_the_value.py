"""The key is stored and the value is not.

Both caches get a new row.
"""

CHANGES = {
    "keys[length], values[length] = key, value": "keys[length] = key",
}
