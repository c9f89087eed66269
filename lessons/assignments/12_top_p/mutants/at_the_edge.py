"""A draw that equals a sum belongs to the next token: its sum must exceed the draw. With a draw of 0 this matters
where the first shares are 0.

side='right'.
"""

import numpy as np


def sample(logits, draw, temperature, p):
    kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="left")), len(logits) - 1)
