"""The change is not scaled at all.

scale = {SCALE}.
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": "return x @ weight + x @ lora_a @ lora_b",
}
