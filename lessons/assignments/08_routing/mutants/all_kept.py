"""Nothing is dropped, however full an expert is.

Count what each expert has taken.
"""

CHANGES = {
    "kept[token, choice] = room[expert] > 0": "kept[token, choice] = True",
}
