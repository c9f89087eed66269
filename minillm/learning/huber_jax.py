"""The objective of a scaling law's fit, in JAX, which derives its gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.axes import checked
from minillm.learning.shared import Five, Points, check_reduction


@checked
def huber_objective(
    five: Five, log_size: Points, log_tokens: Points, log_loss: Points, delta: float = 1e-3, reduction: str = "sum"
) -> Float[Any, "*starts"]:
    """As the reference."""
    check_reduction(reduction)
    e, a, b, alpha, beta = (five[..., i, None] for i in range(5))
    terms = jnp.stack([e + 0 * log_size, a - alpha * log_size, b - beta * log_tokens])
    largest = jax.lax.stop_gradient(terms.max(0))
    residual = largest + jnp.log(jnp.exp(terms - largest).sum(0)) - log_loss
    cut = jnp.clip(residual, -delta, delta)
    weight = np.asarray(1 / len(log_loss) if reduction == "mean" else 1, five.dtype)
    return weight * (cut * (residual - cut / 2)).sum(-1)
