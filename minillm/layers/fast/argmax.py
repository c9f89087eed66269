"""The place of the largest number, by a maximum and a minimum.

XLA:CPU runs `jnp.argmax` number by number: 0.2 ms for 49,152 of them, where this takes 0.03.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Int


def argmax(x: Float[Any, "*batch V"]) -> Int[Any, "*batch"]:
    """`jnp.argmax` along the last axis: the first place of equal ones.

    >>> int(argmax(jnp.array([1.0, 3.0, 3.0])))
    1
    """
    place = jnp.arange(x.shape[-1])
    return jnp.min(jnp.where(x == jnp.max(x, axis=-1, keepdims=True), place, place.size), axis=-1)
