"""Balance, jitted: `minillm.experts.balancing` for CPU, GPU and TPU. JAX derives the gradients."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.experts.routing_jax import real_tokens
from minillm.layers.softmax_jax import softmax

RouterLogits = Float[Any, "T E"]
Experts = Int[Any, "T k"]
Kept = Bool[Any, "T k"]
TokenMask = Bool[Any, "T"]
Loss = Float[Any, ""]


class RoutingStatistics(NamedTuple):
    """As the reference."""

    load: Float[Any, "E"]
    load_entropy: Float[Any, ""]
    router_entropy: Float[Any, ""]
    max_over_mean: Float[Any, ""]
    dropped: Float[Any, ""]
    unserved: Float[Any, ""]


@partial(jax.jit, static_argnames="num_experts")
@checked
def expert_loads(experts: Experts, num_experts: int, token_mask: TokenMask | None = None) -> Int[Any, "E"]:
    """As the reference."""
    chosen = experts[..., None] == jnp.arange(num_experts, dtype=experts.dtype)
    counted = chosen if token_mask is None else chosen & token_mask[:, None, None]
    return jnp.sum(counted, axis=(0, 1), dtype=jnp.int32)


@checked
def load_balancing_loss(router_logits: RouterLogits, experts: Experts, token_mask: TokenMask | None = None) -> Loss:
    """As the reference."""
    return _load_balancing_loss(router_logits, experts, real_tokens(router_logits, token_mask))


@jax.jit
def _load_balancing_loss(router_logits: RouterLogits, experts: Experts, real: TokenMask) -> Loss:
    E, shares = router_logits.shape[-1], softmax(wide(jnp.where(real[:, None], router_logits, 0)))
    n = jnp.maximum(jnp.sum(real), 1).astype(shares.dtype)
    load = expert_loads(experts, E, real).astype(shares.dtype) / (n * experts.shape[-1])
    mean_shares = jnp.sum(jnp.where(real[:, None], shares, 0), axis=0) / n
    return (E * jnp.sum(load * mean_shares)).astype(router_logits.dtype)


@checked
def router_z_loss(router_logits: RouterLogits, token_mask: TokenMask | None = None) -> Loss:
    """As the reference."""
    return _router_z_loss(router_logits, real_tokens(router_logits, token_mask))


@jax.jit
def _router_z_loss(router_logits: RouterLogits, real: TokenMask) -> Loss:
    logits = wide(jnp.where(real[:, None], router_logits, 0))
    log_sums = jnp.where(real, jax.nn.logsumexp(logits, axis=-1), 0)
    n = jnp.maximum(jnp.sum(real), 1).astype(logits.dtype)
    return (jnp.sum(log_sums * log_sums) / n).astype(router_logits.dtype)


@jax.jit
@checked
def update_selection_bias(
    selection_bias: Float[Any, "E"], loads: Int[Any, "E"], rate: float = 0.001
) -> Float[Any, "E"]:
    """As the reference."""
    above = jnp.sign(len(loads) * loads - jnp.sum(loads, dtype=loads.dtype)).astype(selection_bias.dtype)
    return selection_bias - jnp.asarray(rate, selection_bias.dtype) * above


@checked
def routing_statistics(
    router_logits: RouterLogits, experts: Experts, kept: Kept, token_mask: TokenMask | None = None
) -> RoutingStatistics:
    """As the reference."""
    return _routing_statistics(router_logits, experts, kept, real_tokens(router_logits, token_mask))


@jax.jit
def _routing_statistics(router_logits: RouterLogits, experts: Experts, kept: Kept, real: TokenMask) -> Any:
    E, k = router_logits.shape[-1], experts.shape[-1]
    shares = softmax(wide(jnp.where(real[:, None], router_logits, 0)))
    n = jnp.maximum(jnp.sum(real), 1).astype(shares.dtype)
    load = expert_loads(experts, E, real).astype(shares.dtype) / (n * k)
    numbers = (
        load,
        jnp.where(jnp.any(real), _entropy(load), 0),
        jnp.sum(jnp.where(real, _entropy(shares), 0)) / n,
        E * jnp.max(load),
        jnp.sum(real[:, None] & ~kept).astype(shares.dtype) / (n * k),
        jnp.sum(real & ~kept.any(-1)).astype(shares.dtype) / n,
    )
    return RoutingStatistics(*(number.astype(router_logits.dtype) for number in numbers))


def _entropy(shares: Float[Any, "*batch E"]) -> Float[Any, "*batch"]:
    if shares.shape[-1] == 1:
        return jnp.ones(shares.shape[:-1], shares.dtype)
    surprises = jnp.log(1 / jnp.where(shares > 0, shares, 1))
    return jnp.sum(shares * surprises, axis=-1) / np.log(shares.shape[-1])
