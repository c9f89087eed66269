"""Under jit, `if` cannot look at a computed number: only shapes are known at that time.

Use arrays instead: jnp.where(condition, this, that), or jnp.maximum.

Match: TracerBoolConversionError
"""

CHANGES = {
    "shifted = logits - logits.max(axis=1, keepdims=True)": """if counted.sum() == 0:
        return jnp.zeros(())
    shifted = logits - logits.max(axis=1, keepdims=True)""",
    "return jnp.where(counted, -picked, 0.0).sum() / jnp.maximum(counted.sum(), 1)": "return jnp.where(counted, -picked, 0.0).sum() / counted.sum()",
}
