"""Both moments begin at zero and are too small at first; nothing corrects that here.

Divide a by 1 - beta1**step and b by 1 - beta2**step before you use them.
"""

import numpy as np


def adamw_update(
    param, gradient, first, second, step, learning_rate=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1
):
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2
    direction = first / (np.sqrt(second) + eps)
    return param - learning_rate * direction - DECAY * param, first, second
