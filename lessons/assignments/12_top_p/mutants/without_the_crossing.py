"""The token that crosses p is left out: those that are kept have less than p together.

Keep a token while the mass of the likelier ones, without its own, is below p.
"""

import numpy as np


def top_p_mask(logits, p):
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order])
    mask = np.zeros(logits.shape, bool)
    mask[order] = before <= p + 1e-12
    return mask
