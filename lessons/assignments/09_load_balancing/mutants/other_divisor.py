"""f is divided by something else than the docstring says: {PER}.

The variant of your copy is in the docstring.
"""

import numpy as np


def load_balancing_loss(router_logits, experts):
    E = router_logits.shape[-1]
    powers = np.exp(router_logits - router_logits.max(axis=-1, keepdims=True))
    mean_shares = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
    return E * (expert_loads(experts, E) / PER * mean_shares).sum() / (2 * experts.shape[-1] - 1)
