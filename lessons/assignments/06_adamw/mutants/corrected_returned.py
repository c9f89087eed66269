"""The moments that are returned are the corrected ones; the next step would correct them again.

Return a and b as the running means, without the correction.
"""

CHANGES = {
    "return param - learning_rate * direction - DECAY * param, first, second": "return param - learning_rate * direction - DECAY * param, first / (1 - beta1**step), second / (1 - beta2**step)",
}
