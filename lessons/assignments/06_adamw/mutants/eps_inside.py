"""eps stands inside the root: sqrt(b + eps) is another number than sqrt(b) + eps.

Add eps after the root.
"""

import numpy as np


def adamw_update(
    param, gradient, first, second, step, learning_rate=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1
):
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2
    direction = first / (1 - beta1**step) / np.sqrt(second / (1 - beta2**step) + eps)
    return param - learning_rate * direction - DECAY * param, first, second
