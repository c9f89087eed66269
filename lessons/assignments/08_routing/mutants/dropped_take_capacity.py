"""A dropped choice still uses up capacity.

Only a choice that is kept counts.
"""

CHANGES = {
    "left[expert] -= kept[token, choice]": """left[(expert + 1) % num_experts] -= not kept[token, choice]
        left[expert] -= kept[token, choice]""",
}
