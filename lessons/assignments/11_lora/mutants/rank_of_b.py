"""The scale divides by a size that is not the rank.

R is lora_a.shape[1], or lora_b.shape[0].
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[0]
    return x @ weight + SCALE * (x @ lora_a @ lora_b)
