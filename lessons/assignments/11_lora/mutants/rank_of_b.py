"""The scale divides by a size that is not the rank.

R is lora_a.shape[1], or lora_b.shape[0].
"""

CHANGES = {
    """R = lora_a.shape[1]
    return x @ weight + SCALE * (x @ lora_a @ lora_b)""": """R = lora_a.shape[0]
    return x @ weight + SCALE * (x @ lora_a @ lora_b)""",
}
