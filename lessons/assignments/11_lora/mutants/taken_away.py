"""The change is taken away: that is unmerging.

Add it.
"""


def merge(weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return weight - SCALE * (lora_a @ lora_b)
