"""Sampling with top-p.

From the logits of the next token to the token itself. Only the fewest likeliest tokens that together
have probability p are allowed; a number drawn from [0, 1) chooses among them.
"""

import numpy as np


def top_p_mask(logits, p):
    """True for the fewest likeliest tokens whose probabilities sum to p or more. `logits` is (V,), p is
    at most 1.

    The likeliest token is always allowed. Among equal ones the lower index counts as likelier.
    """
    # BEGIN SOLUTION
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]
    mask = np.zeros(logits.shape, bool)
    mask[order] = before < p - 1e-12
    return mask
    # END SOLUTION


def sample(logits, draw, temperature, p):
    """The token that `draw`, a number from [0, 1), falls on: one whole number.

    In this order: {ORDER}. Temperature divides the logits. The probabilities of the allowed tokens are
    divided by their sum; the token is the first, by index, at which their cumulative sum exceeds
    `draw`.
    """
    # BEGIN SOLUTION
    allowed = top_p_mask(logits / temperature if ORDER == "temperature first" else logits, p)
    weights = np.where(allowed, np.exp((logits - logits.max()) / temperature), 0)
    return min(int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="right")), len(logits) - 1)
    # END SOLUTION
