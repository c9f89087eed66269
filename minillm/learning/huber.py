"""How far a scaling law is from the runs: the objective that a fit makes small.

    prediction   log L^ = LSE(log A - alpha log N, log B - beta log D, log E)      [Hoffmann2022], eq. 3
    objective    sum over runs of Huber_delta(log L^ - log L),  delta = 1e-3

LSE is log-sum-exp, with the largest term taken out first. The Huber loss is a square near 0 and a line beyond delta,
so a failed run pulls no harder than its sign.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked
from minillm.learning.shared import Five, Points, check_reduction


@checked
def huber_objective(
    five: Five, log_size: Points, log_tokens: Points, log_loss: Points, delta: float = 1e-3, reduction: str = "sum"
) -> Float[Any, "*starts"]:
    """How far five constants are from the runs; the `reduction` is "sum", or "mean" to see what that does.

    >>> exact = np.array([1.0, np.log(4.0), np.log(9.0), 1.0, 1.0])  # E = e, A = 4, B = 9, alpha = beta = 1
    >>> off = huber_objective(exact, np.ones(1), np.ones(1), np.log([np.e + 13 / np.e]) + 0.1)
    >>> round(float(off), 12)  # delta (0.1 - delta / 2)
    9.95e-05
    """
    check_reduction(reduction)
    e, a, b, alpha, beta = (five[..., i, None] for i in range(5))
    terms = np.stack([e + 0 * log_size, a - alpha * log_size, b - beta * log_tokens])
    largest = terms.max(0)
    residual = largest + np.log(np.exp(terms - largest).sum(0)) - log_loss
    cut = np.clip(residual, -delta, delta)
    weight = np.asarray(1 / len(log_loss) if reduction == "mean" else 1, five.dtype)
    return weight * (cut * (residual - cut / 2)).sum(-1)
