"""JAX arrays cannot be written to: x[...] = y raises a TypeError.

Build the result from its parts: jnp.concatenate, or jnp.stack and reshape.

Match: in-place item assignment
"""

CHANGES = {
    """cos, sin = cos[:, None, :], sin[:, None, :]
    if PAIRS == "halves":
        first, second = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    first, second = x[..., 0::2], x[..., 1::2]
    return jnp.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(x.shape)""": """rotated = jnp.empty_like(x)
    rotated[..., : x.shape[-1] // 2] = x[..., : x.shape[-1] // 2] * cos[:, None]
    return rotated""",
}
