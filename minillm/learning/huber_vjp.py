"""The gradient of how far a scaling law is from the runs, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked
from minillm.learning.shared import Five, Points, check_reduction


@checked
def huber_objective_vjp(
    five: Five, log_size: Points, log_tokens: Points, log_loss: Points, delta: float = 1e-3, reduction: str = "sum"
) -> tuple[Float[Any, "*starts"], Callable[[Any], tuple[Five]]]:
    """`huber_objective` and its gradient by the constants, in the form of `jax.vjp`.

    The slope of Huber is the residual, cut off at +-delta; that of LSE by its terms is their softmax p. The terms are
    log E, log A - alpha log N and log B - beta log D, so alpha has the slope -p_A log N, and beta -p_B log D.
    """
    check_reduction(reduction)
    e, a, b, alpha, beta = (five[..., i, None] for i in range(5))
    terms = np.stack([e + 0 * log_size, a - alpha * log_size, b - beta * log_tokens])
    largest = terms.max(0)
    powers = np.exp(terms - largest)
    total = powers.sum(0)
    residual = largest + np.log(total) - log_loss
    cut = np.clip(residual, -delta, delta)
    weight = np.asarray(1 / len(log_loss) if reduction == "mean" else 1, five.dtype)

    def vjp(g: Any) -> tuple[Five]:
        to_e, to_a, to_b = powers / total * (cut * weight * g[..., None])
        return (np.stack([x.sum(-1) for x in (to_e, to_a, to_b, -to_a * log_size, -to_b * log_tokens)], -1),)

    return weight * (cut * (residual - cut / 2)).sum(-1), vjp
