"""The temperature is not used.

Divide the logits by it.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits, p)
    powers = np.where(kept, np.exp(logits - logits.max()), 0)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)
