"""Scaling laws in JAX, for arrays of sizes and budgets. Counts need no twin."""

from typing import Any

import jax.numpy as jnp

from minillm.learning.shared import BESIROGLU, REPEATS_STAR, Chinchilla, check_budget


def kaplan_loss(num_parameters: Any, num_tokens: Any) -> Any:
    """As the reference."""
    return ((6.4e13 / num_parameters) ** (0.076 / 0.103) + 1.8e13 / num_tokens) ** 0.103


def chinchilla_loss(num_parameters: Any, num_tokens: Any, law: Chinchilla = BESIROGLU) -> Any:
    """As the reference."""
    return law.E + law.A * num_parameters**-law.alpha + law.B * num_tokens**-law.beta


def optimal_split(flops: Any, law: Chinchilla = BESIROGLU) -> tuple[Any, Any]:
    """As the reference; inside `jit` a budget that is not above 0 gives NaN or 0, not an error."""
    check_budget(flops)
    a = law.beta / (law.alpha + law.beta)
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    return G * (flops / 6) ** a, (flops / 6) ** (1 - a) / G


def effective_tokens(unique_tokens: Any, epochs: Any, repeats_star: float = REPEATS_STAR) -> Any:
    """As the reference."""
    return unique_tokens * (1 - repeats_star * jnp.expm1((1 - epochs) / repeats_star))
