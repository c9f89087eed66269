"""Dropped choices are counted as if they had taken room from another: the count goes on.

Only what is kept counts.
"""

CHANGES = {
    "room[expert] -= kept[token, choice]": """room[(expert + 1) % num_experts] -= not kept[token, choice]
        room[expert] -= kept[token, choice]""",
}
