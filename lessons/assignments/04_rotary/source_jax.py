"""Rotary embedding, in JAX.

JAX arrays cannot be written to: build the result from its parts.

Your pairs are {PAIRS}.
"""

import jax.numpy as jnp


def rotary_cos_sin(positions, head_dim, theta):
    """Cosines and sines of the angles, each (T, head_dim / 2), float64.

    Pair i of a token at position p is rotated by the angle p * theta^(-2i / head_dim).
    """
    # BEGIN SOLUTION
    angles = positions[:, None] * theta ** (-2 * jnp.arange(head_dim // 2) / head_dim)
    return jnp.cos(angles), jnp.sin(angles)
    # END SOLUTION


def rotary_embedding(x, cos, sin):
    """Rotate every pair of every head of `x`, (T, N, H), by the angle of its token and pair. `cos` and
    `sin` are (T, H / 2).

    The pair (a, b) becomes (a cos - b sin, b cos + a sin), at the same places. Pairs are {PAIRS}.
    """
    # BEGIN SOLUTION
    cos, sin = cos[:, None, :], sin[:, None, :]
    if PAIRS == "halves":
        first, second = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    first, second = x[..., 0::2], x[..., 1::2]
    return jnp.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(x.shape)
    # END SOLUTION
