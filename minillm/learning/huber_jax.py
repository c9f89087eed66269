"""The objective of a scaling law's fit, in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import checked
from minillm.errors import InputError

Five = Float[Any, "*starts five"]
Points = Float[Any, "points"]


@checked
def huber_objective(
    five: Five, log_size: Points, log_tokens: Points, log_loss: Points, delta: float = 1e-3, reduction: str = "sum"
) -> Float[Any, "*starts"]:
    """As the reference."""
    if reduction not in ("sum", "mean"):
        raise InputError(f"huber_objective: reduction is {reduction!r}; choose sum or mean.")
    e, a, b, alpha, beta = (five[..., i, None] for i in range(5))
    terms = jnp.stack([e + 0 * log_size, a - alpha * log_size, b - beta * log_tokens])
    residual = jax.nn.logsumexp(terms, axis=0) - log_loss
    cut = jnp.clip(residual, -delta, delta)
    each = cut * (residual - cut / 2)
    return each.sum(-1) if reduction == "sum" else each.mean(-1)
