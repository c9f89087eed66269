"""Scaling laws, traceable: `minillm.learning.scaling_laws` for arrays of sizes and budgets. Counts need no twin."""

from typing import Any, NamedTuple

import jax.numpy as jnp

REPEATS_STAR = 15.39


class Chinchilla(NamedTuple):
    """As the reference."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any


BESIROGLU = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


def kaplan_loss(num_parameters: Any, num_tokens: Any) -> Any:
    """As the reference."""
    return ((6.4e13 / num_parameters) ** (0.076 / 0.103) + 1.8e13 / num_tokens) ** 0.103


def chinchilla_loss(num_parameters: Any, num_tokens: Any, law: Chinchilla = BESIROGLU) -> Any:
    """As the reference."""
    return law.E + law.A * num_parameters**-law.alpha + law.B * num_tokens**-law.beta


def optimal_split(flops: Any, law: Chinchilla = BESIROGLU) -> tuple[Any, Any]:
    """As the reference; a budget that is not above 0 gives NaN or 0, not an error."""
    share = law.beta / (law.alpha + law.beta)
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    return G * (flops / 6) ** share, (flops / 6) ** (1 - share) / G


def effective_tokens(unique_tokens: Any, epochs: Any, repeats_star: float = REPEATS_STAR) -> Any:
    """As the reference."""
    return unique_tokens * (1 - repeats_star * jnp.expm1((1 - epochs) / repeats_star))
