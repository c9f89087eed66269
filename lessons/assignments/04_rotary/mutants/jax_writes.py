"""JAX's arrays cannot be written to: x[...] = y raises a TypeError.

Build the answer of its parts: jnp.concatenate, or jnp.stack and reshape.

Match: in-place item assignment
"""

import jax.numpy as jnp


def rotary_embedding(x, cos, sin):
    turned = jnp.empty_like(x)
    turned[..., : x.shape[-1] // 2] = x[..., : x.shape[-1] // 2] * cos[:, None]
    return turned
