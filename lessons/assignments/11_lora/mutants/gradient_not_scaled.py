"""The scale is missing from the gradients: it stands before A B, so before their slopes.

Multiply both by it.
"""

CHANGES = {
    "return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream": "return x.T @ (upstream @ lora_b.T), (x @ lora_a).T @ upstream",
}
