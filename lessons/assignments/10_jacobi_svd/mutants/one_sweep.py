"""One pass over the pairs is not enough: a later turn disturbs an earlier one.

Repeat until no pair needs a turn.
"""

CHANGES = {
    "for _ in range(30):": "for _ in range(1):",
}
