"""The frozen weight is left out: this is only the change.

Add x @ weight.
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return SCALE * (x @ lora_a @ lora_b)
