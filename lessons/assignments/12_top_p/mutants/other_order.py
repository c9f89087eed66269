"""Top-p and temperature come in the other order: another set of tokens is kept.

The order is in the docstring of your copy.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits if ORDER == "temperature first" else logits / temperature, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)
