"""The scale is missing from the gradients: the output contains scale x A B, so both gradients contain the scale.

Multiply both by it.
"""

CHANGES = {
    "return SCALE * x.T @ (upstream @ lora_b.T), SCALE * (x @ lora_a).T @ upstream": "return x.T @ (upstream @ lora_b.T), (x @ lora_a).T @ upstream",
}
