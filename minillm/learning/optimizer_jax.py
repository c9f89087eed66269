"""Optimisers, jitted: `minillm.learning.optimizer` for CPU, GPU and TPU, composed of optax's parts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from minillm.axes import wide
from minillm.parameters import decays

Tree = Any  # any JAX tree
LEARNED_BETAS = (0.9, 0.95)


class SGDState(NamedTuple):
    """As the reference."""

    velocity: Tree


class AdamWState(NamedTuple):
    """As the reference; the step is an int32 array, so that it stays on the device."""

    step: Any
    first_moment: Tree
    second_moment: Tree


def global_norm(tree: Tree) -> Any:
    """As the reference."""
    return optax.tree.norm(jax.tree.map(wide, tree))


def clip_by_global_norm(gradients: Tree, max_norm: float) -> Tree:
    """As the reference."""
    norm = global_norm(gradients)
    # optax.clip_by_global_norm squares float16 gradients in float16, where the sum overflows at 65504.
    return jax.tree.map(lambda g: jnp.where(norm < max_norm, g, (g / norm.astype(g.dtype)) * max_norm), gradients)


def sgd_init(params: Tree) -> SGDState:
    """As the reference."""
    return SGDState(optax.trace(0.0).init(params).trace)


def sgd_update(
    gradients: Tree, state: SGDState, params: Tree, learning_rate: float, momentum: float = 0.9
) -> tuple[Tree, SGDState]:
    """As the reference."""
    direction, kept = optax.trace(momentum).update(gradients, optax.TraceState(state.velocity))
    return _moved(params, direction, learning_rate), SGDState(kept.trace)


def adamw_init(params: Tree) -> AdamWState:
    """As the reference."""
    return AdamWState(*optax.scale_by_adam().init(params))


def adamw_update(
    gradients: Tree,
    state: AdamWState,
    params: Tree,
    learning_rate: float,
    beta1: float = LEARNED_BETAS[0],
    beta2: float = LEARNED_BETAS[1],
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    mask: Tree = None,
) -> tuple[Tree, AdamWState]:
    """As the reference; the corrections 1 - beta^t are computed in the default dtype."""
    mask = decay_mask(params) if mask is None else mask
    adam = optax.scale_by_adam(beta1, beta2, eps)
    decay = optax.add_decayed_weights(weight_decay, mask)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a Python float to the integer step
        direction, kept = adam.update(gradients, optax.ScaleByAdamState(*state))
    direction, _ = decay.update(direction, decay.init(params), params)
    return _moved(params, direction, learning_rate), AdamWState(*kept)


def decay_mask(params: Tree) -> Tree:
    """As the reference."""
    return jax.tree.map(decays, params)


def _moved(params: Tree, direction: Tree, learning_rate: Any) -> Tree:
    return jax.tree.map(lambda p, d: p - jnp.asarray(learning_rate, p.dtype) * d, params, direction)
