"""The factor E is missing, or the products are averaged over the experts where they are summed: even routing would
cost 1 / E.

E * sum(f * P).
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
    return (expert_loads(experts, E) / PER * mean_shares).sum()
