"""The change is multiplied by alpha, not by {SCALE}.

R is the rank: the number of columns of A.
"""


def lora_linear(x, weight, lora_a, lora_b, alpha):
    R = lora_a.shape[1]
    return x @ weight + alpha * (x @ lora_a @ lora_b)
