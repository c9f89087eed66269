"""The second half is computed from the first after it was turned already.

Keep the old values until both are done, or write to a new array.
"""

import numpy as np


def rotary_embedding(x, cos, sin):
    cos, sin = cos[:, None, :], sin[:, None, :]
    H = x.shape[-1]
    halves = (slice(None, H // 2), slice(H // 2, None)), (slice(0, None, 2), slice(1, None, 2))
    first, second = halves[PAIRS != "halves"]
    turned = np.empty_like(x)
    turned[..., first] = x[..., first] * cos - x[..., second] * sin
    turned[..., second] = x[..., second] * cos + turned[..., first] * sin
    return turned
