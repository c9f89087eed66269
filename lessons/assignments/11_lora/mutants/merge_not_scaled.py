"""The merged change is not scaled, though the applied one is.

The same scale as in lora_linear.
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": "return weight + lora_a @ lora_b",
}
