"""Nothing is dropped, however full an expert is.

Count how many choices each expert has accepted.
"""

CHANGES = {
    "kept[token, choice] = left[expert] > 0": "kept[token, choice] = True",
}
