"""The merged change is scaled twice.

weight + scale * (A @ B).
"""


def merge(weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return weight + SCALE * SCALE * (lora_a @ lora_b)
