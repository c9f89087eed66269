"""The change is not scaled at all.

scale = {SCALE}.
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return x @ weight + x @ lora_a @ lora_b
