"""AdamW.

Every parameter has two running means: of its gradient (a) and of the squared gradient (b). The step is
a / sqrt(b), so its size is about the learning rate in every coordinate. Weight decay is decoupled: it
shrinks the parameter and does not enter the means.
"""

import numpy as np


def adamw_update(
    param, gradient, first, second, step, learning_rate=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1
):
    """Step number `step`, counted from 1. `first` and `second` are a and b from the step before. All
    arrays have one shape.

    a = beta1 a + (1 - beta1) g and b = beta2 b + (1 - beta2) g^2. Before they are used, each is divided
    by 1 - beta^step: the new parameter is param - learning_rate * a^ / (sqrt(b^) + eps) - {DECAY}.

    Returns (new param, a, b), a and b uncorrected. The arrays that were passed in stay unchanged.
    """
    # BEGIN SOLUTION
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2
    direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)
    return param - learning_rate * direction - DECAY * param, first, second
    # END SOLUTION
