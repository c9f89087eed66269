"""Nothing is cut off: all tokens are kept.

Compare the mass of the likelier ones with p.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    mask = np.zeros(logits.shape, bool)
    mask[order] = before < 2
    return mask
