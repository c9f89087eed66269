"""The moments that come back are the corrected ones; the next step would correct them again.

Give back a and b as the running means left them.
"""

CHANGES = {
    "return param - learning_rate * direction - DECAY * param, first, second": "return param - learning_rate * direction - DECAY * param, first / (1 - beta1**step), second / (1 - beta2**step)",
}
