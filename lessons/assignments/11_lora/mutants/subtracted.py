"""The change is subtracted: that removes an adapter.

Add it.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": "return weight - SCALE * (lora_a @ lora_b)",
}
