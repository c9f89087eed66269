"""The frozen part is scaled too.

Only x A B is multiplied by the scale.
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return SCALE * (x @ weight + x @ lora_a @ lora_b)
