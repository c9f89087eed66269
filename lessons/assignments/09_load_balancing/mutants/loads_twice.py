"""P is taken from the choices: counts have no gradient, and the loss could not teach the router.

P is the mean of the softmax.
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
    return E * ((expert_loads(experts, E) / experts.size) * (expert_loads(experts, E) / PER)).sum()
