"""Routing, jitted: `minillm.experts.routing` for CPU, GPU and TPU.

Inside `jit`, where numbers cannot be looked at, a token whose logits are not finite is sent nowhere, as padding is.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.gates_jax import router_gates
from minillm.layers.softmax_jax import softmax

RouterLogits = Float[Any, "T E"]
Experts = Int[Any, "T k"]
Gates = Float[Any, "T k"]
Kept = Bool[Any, "T k"]
TokenMask = Bool[Any, "T"]


class Routing(NamedTuple):
    """As the reference."""

    experts: Experts
    gates: Gates
    kept: Kept


@checked
def choose_experts(router_logits: RouterLogits, k: int, selection_bias: Float[Any, "E"] | None = None) -> Experts:
    """As the reference."""
    check_choices(k, router_logits.shape[-1])
    real_tokens(router_logits)
    return _choose_experts(router_logits, k, selection_bias)


@partial(jax.jit, static_argnames="k")
def _choose_experts(router_logits: RouterLogits, k: int, selection_bias: Float[Any, "E"] | None) -> Experts:
    """k times the largest and its first place, as `top_k` on a CPU costs more (and ranks 0.0 above -0.0)."""
    scores = wide(router_logits)
    if selection_bias is not None:
        scores = softmax(scores) + selection_bias.astype(scores.dtype)
    E = scores.shape[-1]
    places, chosen = jnp.arange(E, dtype=jnp.int32), []
    for _ in range(k):
        largest = jnp.max(scores, axis=-1, keepdims=True)
        first = jnp.min(jnp.where(scores == largest, places, E - 1), axis=-1, keepdims=True)
        chosen.append(first)
        scores = jnp.where(places == first, -jnp.inf, scores)
    return jnp.concatenate(chosen, axis=-1)


@checked
def within_capacity(experts: Experts, num_experts: int, capacity: int, token_mask: TokenMask | None = None) -> Kept:
    """As the reference, without its loops: the place of a choice in its expert's queue says whether there is room."""
    check_capacity(capacity)
    return _within_capacity(experts, num_experts, capacity, token_mask)


@partial(jax.jit, static_argnames=("num_experts", "capacity"))
def _within_capacity(experts: Experts, num_experts: int, capacity: int, token_mask: TokenMask | None) -> Kept:
    real = jnp.ones(experts.shape, bool) if token_mask is None else jnp.broadcast_to(token_mask[:, None], experts.shape)
    queue = jnp.where(real, experts, num_experts).T.reshape(-1)  # all first choices, then all second ones
    return (places_in_groups(queue, num_experts + 1) < capacity).reshape(experts.shape[::-1]).T & real


@partial(jax.jit, static_argnames="num_groups")
def places_in_groups(groups: Int[Any, "A"], num_groups: int) -> Int[Any, "A"]:
    """How many earlier entries are of the same group."""
    order = jnp.argsort(groups, stable=True)
    in_order = groups[order]
    first = jnp.searchsorted(in_order, jnp.arange(num_groups, dtype=groups.dtype)).astype(jnp.int32)
    places = jnp.arange(len(groups), dtype=jnp.int32) - first[in_order]
    return jnp.zeros_like(places).at[order].set(places, unique_indices=True)


@checked
def expert_choice(router_logits: RouterLogits, capacity: int, token_mask: TokenMask | None = None) -> Bool[Any, "T E"]:
    """As the reference."""
    check_capacity(capacity, len(router_logits))
    return _expert_choice(router_logits, capacity, real_tokens(router_logits, token_mask))


@partial(jax.jit, static_argnames="capacity")
def _expert_choice(router_logits: RouterLogits, capacity: int, real: TokenMask) -> Bool[Any, "T E"]:
    shares = softmax(wide(jnp.where(real[:, None], router_logits, 0)))
    best = jnp.argsort(jnp.where(real[:, None], -shares, 1), axis=0, stable=True)[:capacity]
    taken = jnp.zeros(shares.shape, bool).at[best, jnp.arange(shares.shape[-1])].set(True)
    return taken & real[:, None]


@checked
def route(
    router_logits: RouterLogits,
    config: MoEConfig,
    token_mask: TokenMask | None = None,
    selection_bias: Float[Any, "E"] | None = None,
) -> Routing:
    """As the reference."""
    return _route(router_logits, config, real_tokens(router_logits, token_mask), selection_bias)


@partial(jax.jit, static_argnames="config")
def _route(router_logits: RouterLogits, config: MoEConfig, real: TokenMask, selection_bias: Any) -> Routing:
    T, E = router_logits.shape
    if config.num_experts != E:
        raise InputError(f"routing: the router's logits are for {E} experts, and config for {config.num_experts}.")
    capacity = config.capacity(T)
    logits = jnp.where(real[:, None], router_logits, 0)
    if config.choice == "expert":
        experts = jnp.broadcast_to(jnp.arange(E, dtype=jnp.int32), (T, E))
        kept = _expert_choice(logits, capacity, real) if capacity else jnp.zeros((T, E), bool)
    else:
        experts = jax.lax.stop_gradient(_choose_experts(logits, config.k, selection_bias))
        kept = jnp.broadcast_to(real[:, None], experts.shape)
        if capacity:
            kept = _within_capacity(experts, E, capacity, real)
    return Routing(experts, jnp.where(kept, router_gates(logits, experts, config), 0), kept)


def real_tokens(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> TokenMask:
    """As the reference, where the logits are known; inside `jit` tokens without finite logits are not real."""
    finite = jnp.isfinite(router_logits).all(-1)
    real = jnp.ones(len(router_logits), bool) if token_mask is None else token_mask
    if isinstance(finite, jax.core.Tracer) or isinstance(real, jax.core.Tracer):
        return real & finite
    bad = np.asarray(real & ~finite)
    if bad.any():
        raise InputError(
            f"routing: the router's logits of token {np.argmax(bad)} are not all finite; is the model diverging?"
        )
    return real


def check_choices(k: int, num_experts: int) -> None:
    """As the reference."""
    if not 1 <= k <= num_experts:
        raise InputError(f"routing: k is {k} of {num_experts} experts; it must be from 1 to {num_experts}.")


def check_capacity(capacity: int, num_tokens: int | None = None) -> None:
    """As the reference."""
    if capacity < 1:
        raise InputError(f"routing: capacity is {capacity}; an expert must take at least 1 token.")
    if num_tokens is not None and capacity > num_tokens:
        raise InputError(f"routing: each expert is to take {capacity} of {num_tokens} tokens; there are too few.")
