"""Steps count from 1 here. With step - 1 the first correction divides by zero; with step + 1 it corrects too little.

Use `step` as it is given.
"""

CHANGES = {
    "direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)": "direction = first / (1 - beta1 ** (step + 1)) / (np.sqrt(second / (1 - beta2 ** (step + 1))) + eps)",
}
