"""p is no threshold for a single share: it is the mass that the kept ones have together.

Sort, add up, and see where p is reached.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    mask = np.zeros(logits.shape, bool)
    mask = shares >= p
    return mask
