"""Optimisers in JAX.

What differs: the step is an int32 array, so that it stays on the device, and the corrections 1 - beta^t are computed in
the default dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp

from minillm.axes import wide
from minillm.learning.shared import LEARNED_BETAS, AdamWState, SGDState, Tree
from minillm.parameters import decays


def global_norm(tree: Tree) -> Any:
    """As the reference."""
    squares = [jnp.sum(jnp.square(wide(leaf))) for leaf in jax.tree.leaves(tree)]
    return jnp.sqrt(jnp.sum(jnp.stack(squares)))


def clip_by_global_norm(gradients: Tree, max_norm: float) -> Tree:
    """As the reference."""
    norm = global_norm(gradients)
    return jax.tree.map(lambda g: jnp.where(norm < max_norm, g, (g / norm.astype(g.dtype)) * max_norm), gradients)


def sgd_init(params: Tree) -> SGDState:
    """As the reference."""
    return SGDState(jax.tree.map(jnp.zeros_like, params))


def sgd_update(
    gradients: Tree, state: SGDState, params: Tree, learning_rate: float, momentum: float = 0.9
) -> tuple[Tree, SGDState]:
    """As the reference."""
    velocity = jax.tree.map(lambda g, v: g + momentum * v, gradients, state.velocity)
    rate = jnp.asarray(learning_rate)
    return jax.tree.map(lambda p, v: p - rate.astype(p.dtype) * v, params, velocity), SGDState(velocity)


def adamw_init(params: Tree) -> AdamWState:
    """As the reference."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return AdamWState(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.zeros_like, params))


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
    """As the reference."""
    step, rate = state.step + 1, jnp.asarray(learning_rate)
    first = jax.tree.map(lambda g, a: (1 - beta1) * g + beta1 * a, gradients, state.first_moment)
    second = jax.tree.map(lambda g, b: (1 - beta2) * jnp.square(g) + beta2 * b, gradients, state.second_moment)
    first_part, second_part = (1 - beta ** jnp.asarray(step, float) for beta in (beta1, beta2))

    def moved(p: Any, a: Any, b: Any, decays: bool) -> Any:
        direction = (a / first_part.astype(a.dtype)) / (jnp.sqrt(b / second_part.astype(b.dtype)) + eps)
        if decays:
            direction = direction + weight_decay * p
        return p - rate.astype(p.dtype) * direction

    mask = decay_mask(params) if mask is None else mask
    return jax.tree.map(moved, params, first, second, mask), AdamWState(step, first, second)


def decay_mask(params: Tree) -> Tree:
    """As the reference."""
    return jax.tree.map(decays, params)
