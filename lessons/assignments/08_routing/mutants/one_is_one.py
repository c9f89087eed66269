"""With one expert the gate is always 1: its share divided by itself. The router then has no gradient.

For k = 1 give back the share as it is.
"""

import numpy as np


def softmax_gates(router_logits, experts):
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    shares = np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), experts, axis=-1)
    return shares / shares.sum(axis=-1, keepdims=True)
