"""An expert takes one more than its capacity.

A choice is kept while fewer than `capacity` were taken.
"""

CHANGES = {
    "kept[token, choice] = room[expert] > 0": "kept[token, choice] = room[expert] >= 0",
}
