"""This is always the likeliest token, whatever was drawn.

The draw chooses: the first token whose sum of shares exceeds it.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)
    return int(np.argmax(powers))
