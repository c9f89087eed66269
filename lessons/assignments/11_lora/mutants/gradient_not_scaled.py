"""The scale is missing from the gradients: it stands before A B, so before their slopes.

Multiply both by it.
"""


def lora_gradient(x, lora_a, lora_b, alpha, upstream):
    R = lora_a.shape[1]
    return x.T @ (upstream @ lora_b.T), (x @ lora_a).T @ upstream
