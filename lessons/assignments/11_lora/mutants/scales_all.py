"""The frozen part is scaled too.

Only x A B is multiplied by the scale.
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": "return SCALE * (x @ weight + x @ lora_a @ lora_b)",
}
