"""Both moments begin at zero and are too small at first; nothing corrects that here.

Divide a by 1 - beta1**step and b by 1 - beta2**step before you use them.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (np.sqrt(second) + eps)",
}
