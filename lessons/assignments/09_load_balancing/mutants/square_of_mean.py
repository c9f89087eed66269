"""The mean is squared, where the squares are averaged: large and small ones cancel.

(log_sums**2).mean().
"""

import numpy as np


def router_z_loss(router_logits):
    largest = router_logits.max(axis=-1)
    log_sums = largest + np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))
    return log_sums.mean() ** 2
