"""The gradient of intrinsic dimension, by hand."""

from collections.abc import Callable

import numpy as np  # noqa: F401  for the examples

from minillm.axes import checked
from minillm.decomposition.shared import Point, Projection, Theta


@checked
def subspace_point_vjp(theta: Theta, projection: Projection, z: Point) -> tuple[Theta, Callable[[Theta], tuple[Point]]]:
    """`subspace_point` and its gradient by z: dz = P^T dtheta, the part of the gradient that lies in the subspace.

    >>> subspace_point_vjp(np.zeros(2), np.array([[1.0], [0.0]]), np.zeros(1))[1](np.array([3.0, 4.0]))
    (array([3.]),)
    """

    def vjp(g: Theta) -> tuple[Point]:
        return (projection.T @ g,)

    return theta + projection @ z, vjp
