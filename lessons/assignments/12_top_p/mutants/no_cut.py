"""The token may be any: top-p is not used.

Set the shares of those not kept to 0.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.exp((logits - logits.max()) / temperature)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)
