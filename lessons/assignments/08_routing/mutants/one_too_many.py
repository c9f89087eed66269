"""An expert accepts one choice more than its capacity.

A choice is kept while fewer than `capacity` have been accepted.
"""

CHANGES = {
    "kept[token, choice] = left[expert] > 0": "kept[token, choice] = left[expert] >= 0",
}
