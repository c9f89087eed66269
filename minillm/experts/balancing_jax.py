"""Balance in JAX: `minillm.experts.balancing`. JAX derives the gradients."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.experts.routing_jax import real_tokens
from minillm.experts.shared import (
    Experts,
    Kept,
    Loads,
    Loss,
    RouterLogits,
    RoutingStatistics,
    SelectionBias,
    TokenMask,
)
from minillm.layers.softmax_jax import softmax


@partial(jax.jit, static_argnames="num_experts")
@checked
def expert_loads(experts: Experts, num_experts: int, token_mask: TokenMask | None = None) -> Loads:
    """As the reference."""
    chosen = experts[..., None] == jnp.arange(num_experts, dtype=experts.dtype)
    counted = chosen if token_mask is None else chosen & token_mask[:, None, None]
    return jnp.sum(counted, axis=(0, 1), dtype=jnp.int32)


@checked
def load_balancing_loss(router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None) -> Loss:
    """As the reference."""
    E, real = router_logits.shape[-1], real_tokens(router_logits, token_mask)
    logits = jnp.where(real[:, None], router_logits, 0)
    probabilities = softmax(wide(logits))
    n = jnp.maximum(jnp.sum(real), 1).astype(probabilities.dtype)
    load = expert_loads(experts, E, real).astype(n.dtype) / (n * experts.shape[-1])
    mean_probabilities = jnp.sum(jnp.where(real[:, None], probabilities, 0), axis=0) / n
    return jnp.asarray(E * jnp.sum(load * mean_probabilities), logits.dtype)


@checked
def router_z_loss(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> Loss:
    """As the reference."""
    real = real_tokens(router_logits, token_mask)
    logits = jnp.where(real[:, None], router_logits, 0)
    log_sums = jnp.where(real, jnp.logaddexp.reduce(wide(logits), axis=-1), 0)
    n = jnp.maximum(jnp.sum(real), 1).astype(log_sums.dtype)
    return jnp.asarray(jnp.sum(log_sums * log_sums) / n, logits.dtype)


@jax.jit
@checked
def update_selection_bias(selection_bias: SelectionBias, loads: Loads, rate: float = 0.001) -> SelectionBias:
    """As the reference."""
    above = jnp.sign(len(loads) * loads - jnp.sum(loads, dtype=loads.dtype))
    return selection_bias - jnp.asarray(rate, selection_bias.dtype) * above.astype(selection_bias.dtype)


@checked
def routing_statistics(
    router_logits: RouterLogits, experts: Experts, kept: Kept, token_mask: TokenMask | None = None
) -> RoutingStatistics:
    """As the reference."""
    (E, k), real = (router_logits.shape[-1], experts.shape[-1]), real_tokens(router_logits, token_mask)
    logits = jnp.where(real[:, None], router_logits, 0)
    probabilities = softmax(wide(logits))
    n = jnp.maximum(jnp.sum(real), 1).astype(probabilities.dtype)
    load = expert_loads(experts, E, real).astype(n.dtype) / (n * k)
    numbers = (
        load,
        jnp.where(jnp.any(real), _normalised_entropy(load), 0),
        jnp.sum(jnp.where(real, _normalised_entropy(probabilities), 0)) / n,
        E * jnp.max(load),
        jnp.sum(real[:, None] & ~kept).astype(n.dtype) / (n * k),
        jnp.sum(real & ~kept.any(-1)).astype(n.dtype) / n,
    )
    return RoutingStatistics(*(jnp.asarray(number, logits.dtype) for number in numbers))


def _normalised_entropy(probabilities: Float[Any, "*batch E"]) -> Float[Any, "*batch"]:
    """As the reference."""
    if probabilities.shape[-1] == 1:
        return jnp.ones(probabilities.shape[:-1], probabilities.dtype)
    surprises = jnp.log(1 / jnp.where(probabilities > 0, probabilities, 1))
    return jnp.sum(probabilities * surprises, axis=-1) / math.log(probabilities.shape[-1])
