"""Gates, jitted: `minillm.experts.gates` for CPU, GPU and TPU. JAX derives the gradients."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.layers.softmax_jax import softmax

RouterLogits = Float[Any, "T E"]
Experts = Int[Any, "T k"]
Gates = Float[Any, "T k"]


@partial(jax.jit, static_argnames="renormalise")
@checked
def softmax_gates(router_logits: RouterLogits, experts: Experts, renormalise: bool = True) -> Gates:
    """As the reference."""
    if renormalise and experts.shape[-1] > 1:
        return softmax_after_top_k_gates(router_logits, experts)
    return jnp.take_along_axis(softmax(router_logits), experts, axis=-1)


@jax.jit
@checked
def softmax_after_top_k_gates(router_logits: RouterLogits, experts: Experts) -> Gates:
    """As the reference."""
    return softmax(jnp.take_along_axis(router_logits, experts, axis=-1))


@partial(jax.jit, static_argnames="config")
@checked
def router_gates(router_logits: RouterLogits, experts: Experts, config: MoEConfig) -> Gates:
    """As the reference."""
    if config.softmax == "after":
        return softmax_after_top_k_gates(router_logits, experts)
    return softmax_gates(router_logits, experts, config.renormalise and config.choice == "token")


@jax.jit
@checked
def noisy_logits(router_logits: RouterLogits, noise_logits: RouterLogits, noise: RouterLogits) -> RouterLogits:
    """As the reference."""
    return router_logits + noise * jax.nn.softplus(wide(noise_logits)).astype(noise_logits.dtype)
