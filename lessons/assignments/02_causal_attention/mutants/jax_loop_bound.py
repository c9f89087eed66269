"""Python cannot branch on a number that jit has not computed yet; it can branch on a shape.

Take T and S from the shapes, build the mask with jnp.arange, and choose with jnp.where.

Match: TracerBoolConversionError
"""

CHANGES = {
    "visible = jnp.arange(S) <= S - T + jnp.arange(T)[:, None]": """if scores.max() > 0:
        scores = scores - scores.max()
    visible = jnp.arange(S) <= S - T + jnp.arange(T)[:, None]""",
    """scores = jnp.where(visible, scores, -jnp.inf)
    exponentials = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return jnp.einsum("nts,snh->tnh", weights, value)""": """exponentials = jnp.where(visible, jnp.exp(scores), 0)
    return jnp.einsum("nts,snh->tnh", exponentials / exponentials.sum(axis=-1, keepdims=True), value)""",
}
