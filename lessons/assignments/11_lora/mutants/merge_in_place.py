"""The base itself is changed; without it no other adapter can be merged.

Make a new matrix.
"""


def merge(weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    weight += SCALE * (lora_a @ lora_b)
    return weight
