"""Intrinsic dimension, jitted: `minillm.decomposition.subspace` for CPU, GPU and TPU. JAX derives the gradient."""

from typing import Any

import jax
from jaxtyping import Float

from minillm.axes import checked

Theta = Float[Any, "parameters"]
Projection = Float[Any, "parameters d"]
Point = Float[Any, "d"]


@jax.jit
@checked
def subspace_point(theta: Theta, projection: Projection, z: Point) -> Theta:
    """As the reference."""
    return theta + projection @ z
