"""Steps count from 1 here. With one step less the first correction divides by zero, and with one more it corrects
too little.

Use `step` as it is given.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (1 - beta1 ** (step + 1)) / (np.sqrt(second / (1 - beta2 ** (step + 1))) + eps)",
}
