"""The frozen weight is left out: this is only the change.

Add x @ weight.
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": "return SCALE * (x @ lora_a @ lora_b)",
}
