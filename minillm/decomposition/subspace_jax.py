"""Intrinsic dimension in JAX, which derives the gradient."""

import jax

from minillm.axes import checked
from minillm.decomposition.shared import Point, Projection, Theta


@jax.jit
@checked
def subspace_point(theta: Theta, projection: Projection, z: Point) -> Theta:
    """As the reference."""
    return theta + projection @ z
