"""The logits themselves are divided by their sum; they may be negative. Softmax comes first.

shares = softmax(router_logits), over all experts.
"""

import numpy as np


def softmax_gates(router_logits, experts):
    picked = np.take_along_axis(router_logits, experts, axis=-1)
    return picked / np.where(picked.sum(axis=-1, keepdims=True) == 0, 1, picked.sum(axis=-1, keepdims=True))
