"""The logsumexp is not squared: a very negative one would be rewarded.

Square it before the mean.
"""

import numpy as np


def router_z_loss(router_logits):
    largest = router_logits.max(axis=-1)
    log_sums = largest + np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))
    return log_sums.mean()
