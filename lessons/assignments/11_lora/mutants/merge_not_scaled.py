"""The merged change is not scaled, but the applied one is.

Use the same scale as in lora_linear.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": "return weight + lora_a @ lora_b",
}
