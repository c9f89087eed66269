"""The gradient of rotary embedding, by hand."""

from collections.abc import Callable

import numpy as np  # noqa: F401  for the examples

from minillm.attention.rotary import rotary_embedding
from minillm.axes import Query, Rotation, checked


@checked
def rotary_embedding_vjp(x: Query, cos: Rotation, sin: Rotation) -> tuple[Query, Callable[[Query], tuple[Query]]]:
    """`rotary_embedding` and its gradient by x: the transpose of a rotation is the rotation by the opposite angle.

    The angles follow from the positions, which nothing learns, so they get no gradient.

    >>> quarter_turn = np.array([[0.0]]), np.array([[1.0]])
    >>> rotary_embedding_vjp(np.array([[[3.0, 4.0]]]), *quarter_turn)[1](np.array([[[-4.0, 3.0]]]))
    (array([[[3., 4.]]]),)
    """
    return rotary_embedding(x, cos, sin), lambda g: (rotary_embedding(g, cos, -sin),)
