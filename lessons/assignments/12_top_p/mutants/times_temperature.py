"""The logits are multiplied by the temperature: a high one would make the choice sharper.

Divide.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits * temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) * temperature), 0)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)
