"""The change is taken away: that is unmerging.

Add it.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": "return weight - SCALE * (lora_a @ lora_b)",
}
