"""The step divides by the second moment itself and not by its square root, so large gradients would make small steps.

np.sqrt(b^) + eps.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (1 - beta1**step) / (second / (1 - beta2**step) + eps)",
}
