"""One pass over the pairs is not enough: a later rotation disturbs an earlier one.

Repeat until no pair needs a rotation.
"""

CHANGES = {
    "for _ in range(30):": "for _ in range(1):",
}
