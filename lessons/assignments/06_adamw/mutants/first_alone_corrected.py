"""Only the first moment is corrected; the second begins at zero too.

Divide b by 1 - beta2**step, inside the root.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (1 - beta1**step) / (np.sqrt(second) + eps)",
}
