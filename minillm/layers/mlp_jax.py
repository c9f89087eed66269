"""The feed-forward layer in JAX; nothing differs but that it is jitted."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Float

from minillm.axes import checked
from minillm.layers.activations_jax import gelu, silu
from minillm.layers.linear_jax import linear
from minillm.layers.shared import Vectors


@partial(jax.jit, static_argnames="activation")
@checked
def mlp(
    x: Vectors,
    up: Float[Any, "D F"],
    down: Float[Any, "F D"],
    up_bias: Float[Any, "F"] | None = None,
    down_bias: Float[Any, "D"] | None = None,
    activation: Callable[[Any], Any] = gelu,
) -> Vectors:
    """As the reference."""
    wide = linear(x, up)
    if up_bias is not None:
        wide = wide + up_bias
    narrow = linear(activation(wide), down)
    return narrow if down_bias is None else narrow + down_bias


@jax.jit
@checked
def swiglu(x: Vectors, gate: Float[Any, "D F"], up: Float[Any, "D F"], down: Float[Any, "F D"]) -> Vectors:
    """As the reference."""
    return linear(silu(linear(x, gate)) * linear(x, up), down)
