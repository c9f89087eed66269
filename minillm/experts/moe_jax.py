"""Mixture of experts, jitted: `minillm.experts.moe` for CPU, GPU and TPU.

Without a capacity nothing is dropped, and the time grows with k, not with the number of experts; with one, each expert
has a room of fixed size (`minillm.experts.mixture_jax`).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.balancing_jax import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.gates_jax import noisy_logits
from minillm.experts.mixture_jax import feed_forward, mixture
from minillm.experts.routing_jax import real_tokens, route

Params = dict[str, Any]
Vectors = Float[Any, "*batch D"]
TokenMask = Bool[Any, "*batch"]
Noise = Float[Any, "T E"]
Loss = Float[Any, ""]


@checked
def moe(
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Vectors:
    """As the reference; inside `jit` a token whose router logits are not finite is treated as padding."""
    _check(x, params, token_mask, noise)
    return _moe(x, params, config, token_mask, noise)


@checked
def auxiliary_loss(
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Loss:
    """As the reference. Beside `moe` in one `jit` the routing that both need is computed once."""
    _check(x, params, token_mask, noise)
    return _auxiliary_loss(x, params, config, token_mask, noise)


@checked
def moe_loads(
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Int[Any, "E"]:
    """As the reference. Beside `moe` in one `jit` the routing that both need is computed once."""
    _check(x, params, token_mask, noise)
    return _moe_loads(x, params, config, token_mask, noise)


@partial(jax.jit, static_argnames="config")
def _moe(x: Vectors, params: Params, config: MoEConfig, token_mask: Any, noise: Any) -> Vectors:
    rows, logits, real = router(x, params, token_mask, noise)
    routing = route(logits, config, real, params.get("selection_bias"))
    capacity = config.capacity(len(rows))
    out = mixture(rows, routing.gates, routing.experts, routing.kept, params["experts"], capacity)
    if "shared" in params:
        out = out + feed_forward(rows, params["shared"])
    return out.reshape(x.shape)


@partial(jax.jit, static_argnames="config")
def _auxiliary_loss(x: Vectors, params: Params, config: MoEConfig, token_mask: Any, noise: Any) -> Loss:
    _, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    balance, z = load_balancing_loss(logits, experts, real), router_z_loss(logits, real)
    return (config.balance_weight * balance + config.z_weight * z).astype(x.dtype)


@partial(jax.jit, static_argnames="config")
def _moe_loads(x: Vectors, params: Params, config: MoEConfig, token_mask: Any, noise: Any) -> Int[Any, "E"]:
    _, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    return expert_loads(experts, config.num_experts, real)


def router(x: Vectors, params: Params, token_mask: Any = None, noise: Any = None) -> tuple[Any, Any, Any]:
    """All tokens in one row, their logits, and which are real; the others are 0, so that no NaN of theirs spreads."""
    rows = x.reshape(-1, x.shape[-1])
    mask = jnp.ones(len(rows), bool) if token_mask is None else token_mask.reshape(-1)
    rows = jnp.where(mask[:, None], rows, 0)
    logits = _finite_linear(wide(rows), wide(params["router"]))
    if noise is not None:
        noise_logits = _finite_linear(wide(rows), wide(_noise_weights(params, logits, noise)))
        logits = noisy_logits(logits, noise_logits, noise.astype(logits.dtype))
    real = mask & jnp.isfinite(logits).all(-1)
    return jnp.where(real[:, None], rows, 0), logits, real


@jax.custom_vjp
def _finite_linear(x: Float[Any, "T D"], weight: Float[Any, "D E"]) -> Float[Any, "T E"]:
    """`x @ weight`, through whose rows that are not finite nothing comes back: not the NaN that 0 x NaN would be."""
    return x @ weight


def _finite_linear_forward(x: Any, weight: Any) -> Any:
    out = x @ weight
    return out, (x, weight, jnp.isfinite(out).all(-1, keepdims=True))


def _finite_linear_backward(saved: Any, g: Any) -> Any:
    x, weight, finite = saved
    g = jnp.where(finite, g, 0)
    return jnp.where(finite, g @ weight.T, 0), jnp.where(finite, x, 0).T @ g


_finite_linear.defvjp(_finite_linear_forward, _finite_linear_backward)


def _check(x: Vectors, params: Params, token_mask: Any, noise: Any) -> None:
    """Refuse logits that are not finite, where they are known."""
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((x, params, token_mask, noise))):
        _, logits, _ = router(x, params, token_mask, noise)
        real_tokens(logits, None if token_mask is None else token_mask.reshape(-1))


def _noise_weights(params: Params, logits: Any, noise: Noise) -> Any:
    if "noise" not in params:
        raise InputError('moe: there is noise, but no params["noise"] to scale it.')
    if noise.shape != logits.shape:
        raise InputError(f"moe: noise has shape {noise.shape}; of the router's logits it is {logits.shape}.")
    return params["noise"]
