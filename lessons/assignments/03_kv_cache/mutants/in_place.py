"""The caller's caches are changed.

Copy them first: keys = keys.copy().
"""

CHANGES = {
    """keys, values = keys.copy(), values.copy()
    keys[length], values[length] = key, value""": "keys[length], values[length] = key, value",
}
