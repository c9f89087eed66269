"""The shares of the kept tokens do not sum to 1: a large draw falls beyond them.

Divide by their sum.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)
    return min(
        int(
            np.searchsorted(np.cumsum(powers / np.exp((logits - logits.max()) / temperature).sum()), draw, side="right")
        ),
        len(logits) - 1,
    )
