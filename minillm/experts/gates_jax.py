"""Gates in JAX: `minillm.experts.gates`, compiled."""

from functools import partial

import jax
import jax.numpy as jnp

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.shared import Experts, Gates, RouterLogits
from minillm.layers.softmax_jax import softmax


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
    return router_logits + noise * jnp.logaddexp(0, wide(noise_logits)).astype(noise_logits.dtype)
