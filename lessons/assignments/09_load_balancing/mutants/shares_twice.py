"""f is taken from the router's shares, not from the choices: the two factors are then the same thing.

Count `experts`.
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
    return E * (mean_shares * mean_shares).sum()
