"""Mixture of experts in JAX: `minillm.experts.moe`.

What differs: the function that mixes is an argument, so that a faster one can take its place (`fast.choose.moe`); and
inside `jit`, which cannot refuse a token whose router logits are not finite, that token becomes padding.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.balancing_jax import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.gates_jax import noisy_logits
from minillm.experts.mixture_jax import feed_forward, mixture
from minillm.experts.routing_jax import real_tokens, route
from minillm.experts.shared import (
    Loads,
    Loss,
    Noise,
    Params,
    RouterLogits,
    Rows,
    TokenMask,
    VectorMask,
    Vectors,
    check_noise,
)


@checked
def moe(
    x: Vectors,
    params: Params,
    config: MoEConfig,
    token_mask: VectorMask | None = None,
    noise: Noise | None = None,
    mixture: Callable[..., Any] = mixture,
) -> Vectors:
    """As the reference. `mixture` is `minillm.experts.mixture_jax.mixture` or another form of it."""
    rows, logits, real = router(x, params, token_mask, noise)
    routing = route(logits, config, real, params.get("selection_bias"))
    out = mixture(rows, routing.gates, routing.experts, routing.kept, params["experts"])
    if "shared" in params:
        out = out + feed_forward(rows, params["shared"])
    return out.reshape(x.shape)


@checked
def auxiliary_loss(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> Loss:
    """As the reference. Beside `moe` in one `jit` the routing that both need is computed once."""
    rows, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    balance, z = load_balancing_loss(logits, experts, real), router_z_loss(logits, real)
    return jnp.asarray(config.balance_weight * balance + config.z_weight * z, rows.dtype)


@checked
def moe_loads(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> Loads:
    """As the reference. Beside `moe` in one `jit` the routing that both need is computed once."""
    _, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    return expert_loads(experts, config.num_experts, real)


def router(
    x: Vectors, params: Params, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> tuple[Rows, RouterLogits, TokenMask]:
    """As the reference; a token without finite logits becomes padding, so 0: no NaN spreads, nor 0 x NaN backwards."""
    rows, real = as_rows(x, token_mask)
    real = real_tokens(router_logits(rows, params, noise), real)
    rows = jnp.where(real[:, None], rows, 0)
    return rows, router_logits(rows, params, noise), real


def as_rows(x: Vectors, token_mask: VectorMask | None = None) -> tuple[Rows, TokenMask]:
    """As the reference."""
    rows = x.reshape(-1, x.shape[-1])
    real = jnp.ones(len(rows), bool) if token_mask is None else token_mask.reshape(-1)
    return jnp.where(real[:, None], rows, 0), real


def router_logits(rows: Rows, params: Params, noise: Noise | None = None) -> RouterLogits:
    """As the reference."""
    logits = wide(rows) @ wide(params["router"])
    if noise is None:
        return logits
    check_noise(params, noise, logits)
    return noisy_logits(logits, wide(rows) @ wide(params["noise"]), noise.astype(logits.dtype))
