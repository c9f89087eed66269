"""The new key and value are written one position too late.

Positions 0 to length - 1 are filled; the next one is `length`.
"""

CHANGES = {
    "keys[length], values[length] = key, value": """place = min(length + 1, len(keys) - 1)
    keys[place], values[place] = key, value""",
}
