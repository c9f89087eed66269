"""The change is multiplied by alpha, not by {SCALE}.

R is the rank: the number of columns of A.
"""

CHANGES = {
    "return x @ weight + SCALE * (x @ lora_a @ lora_b)": "return x @ weight + alpha * (x @ lora_a @ lora_b)",
}
