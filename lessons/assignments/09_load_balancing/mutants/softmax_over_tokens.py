"""The softmax runs over the tokens; a router divides each token among the experts.

axis=-1.
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = (powers / powers.sum(axis=0)).mean(axis=0)
    return E * (expert_loads(experts, E) / PER * mean_shares).sum()
