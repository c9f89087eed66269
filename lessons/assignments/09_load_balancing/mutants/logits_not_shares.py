"""P is the mean of the shares, and these are the logits.

Softmax comes first.
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = router_logits.mean(axis=0)
    return E * (expert_loads(experts, E) / PER * mean_shares).sum()
