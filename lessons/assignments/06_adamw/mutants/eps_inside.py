"""eps is inside the root: sqrt(b + eps) is not sqrt(b) + eps.

Add eps after the root.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (1 - beta1**step) / np.sqrt(second / (1 - beta2**step) + eps)",
}
