"""The base itself is changed; without it no other adapter can be merged.

Make a new matrix.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": """weight += SCALE * (lora_a @ lora_b)
    return weight""",
}
