"""The base itself is changed, so no other adapter can be merged into it.

Make a new matrix.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": """weight += SCALE * (lora_a @ lora_b)
    return weight""",
}
