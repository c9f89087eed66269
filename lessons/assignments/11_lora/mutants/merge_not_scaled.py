"""The merged change is not scaled, though the applied one is.

The same scale as in lora_linear.
"""


def merge(weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return weight + lora_a @ lora_b
