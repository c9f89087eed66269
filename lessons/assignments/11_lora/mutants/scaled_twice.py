"""The merged change is scaled twice.

weight + scale * (A @ B).
"""

CHANGES = {
    "return weight + SCALE * (lora_a @ lora_b)": "return weight + SCALE * SCALE * (lora_a @ lora_b)",
}
