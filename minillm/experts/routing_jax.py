"""Routing in JAX: `minillm.experts.routing`.

What differs: within a capacity, a running count says how many asked an expert before, where the reference goes
through the queue; and inside `jit`, where numbers are not known, a token whose logits are not finite counts as padding.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool

from minillm.axes import checked, is_traced, wide
from minillm.config import MoEConfig
from minillm.experts.gates_jax import router_gates
from minillm.experts.shared import (
    Experts,
    Kept,
    RouterLogits,
    Routing,
    SelectionBias,
    TokenMask,
    check_capacity,
    check_choices,
    check_finite,
    check_router,
)
from minillm.layers.softmax_jax import softmax


@checked
def choose_experts(router_logits: RouterLogits, k: int, selection_bias: SelectionBias | None = None) -> Experts:
    """As the reference."""
    check_choices(k, router_logits.shape[-1])
    real_tokens(router_logits)
    scores = router_logits if selection_bias is None else softmax(wide(router_logits)) + wide(selection_bias)
    scores = jnp.where(scores == 0, 0, scores)  # `top_k` ranks 0.0 above -0.0
    return jax.lax.top_k(scores, k)[1]


@checked
def within_capacity(experts: Experts, num_experts: int, capacity: int, token_mask: TokenMask | None = None) -> Kept:
    """As the reference: a choice is kept where, with it, no more than `capacity` have asked the expert."""
    check_capacity(capacity)
    T, k = experts.shape
    queue = experts.T.reshape(-1, 1)  # all first choices, then all second ones
    asked = queue == jnp.arange(num_experts, dtype=experts.dtype)
    if token_mask is not None:
        asked &= jnp.tile(token_mask, k)[:, None]
    kept = asked & (jnp.cumsum(asked, axis=0) <= capacity)
    return kept.any(-1).reshape(k, T).T


@checked
def expert_choice(router_logits: RouterLogits, capacity: int, token_mask: TokenMask | None = None) -> Bool[Any, "T E"]:
    """As the reference."""
    T, E = router_logits.shape
    check_capacity(capacity, T)
    real = real_tokens(router_logits, token_mask)
    probabilities = softmax(wide(jnp.where(real[:, None], router_logits, 0)))
    best = jnp.argsort(-jnp.where(real[:, None], probabilities, -1), axis=0, stable=True)[:capacity]
    taken = jnp.zeros((T, E), bool)
    taken = jnp.put_along_axis(taken, best, True, axis=0, inplace=False)
    return taken & real[:, None]


@checked
def route(
    router_logits: RouterLogits,
    config: MoEConfig,
    token_mask: TokenMask | None = None,
    selection_bias: SelectionBias | None = None,
) -> Routing:
    """As the reference."""
    T, E = router_logits.shape
    check_router(E, config)
    real, capacity = real_tokens(router_logits, token_mask), config.capacity(T)
    logits = jnp.where(real[:, None], router_logits, 0)
    if config.choice == "expert":
        experts = jnp.broadcast_to(jnp.arange(E, dtype=jnp.int32), (T, E))
        kept = expert_choice(logits, capacity, real) if capacity else jnp.zeros((T, E), bool)
    else:
        experts = choose_experts(logits, config.k, selection_bias)
        kept = jnp.broadcast_to(real[:, None], experts.shape)
        if capacity:
            kept = within_capacity(experts, E, capacity, real)
    return Routing(experts, jnp.where(kept, router_gates(logits, experts, config), 0), kept)


def real_tokens(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> TokenMask:
    """As the reference where the logits are known; inside `jit`, tokens without finite logits count as padding."""
    finite = jnp.isfinite(router_logits).all(-1)
    real = jnp.ones(len(router_logits), bool) if token_mask is None else token_mask
    if not is_traced(real, finite):
        check_finite(real, finite)
    return real & finite
