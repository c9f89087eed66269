"""Sampling with top-p.

From the logits of the next token to the token itself: only the likeliest ones that together have mass p
may come, and a number drawn from [0, 1) says which.
"""

import numpy as np


def top_p_mask(logits, p):
    """True for the fewest likeliest tokens whose shares sum to p or more; `logits` is (V,), p at most
    1.

    The likeliest token is always among them. Of equal ones the lower index counts as likelier.
    """
    # BEGIN SOLUTION
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    mask = np.zeros(logits.shape, bool)
    mask[order] = before < p - 1e-12
    return mask
    # END SOLUTION


def sample(logits, draw, temperature, p):
    """The token that `draw`, a number from [0, 1), falls on: one whole number.

    In this order: {ORDER}. Temperature divides the logits. The shares of the kept tokens are made to
    sum to 1; the token is the first, by index, whose sum of shares up to and with itself exceeds
    `draw`.
    """
    # BEGIN SOLUTION
    kept = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    powers = np.where(kept, np.exp((logits - logits.max()) / temperature), 0)
    return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)
    # END SOLUTION
