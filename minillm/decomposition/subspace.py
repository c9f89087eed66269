"""Intrinsic dimension: how few numbers it takes to train a model, if they may be any mixture of its parameters.

    theta = theta_0 + P z,    z of d numbers, zero at first         [Li2018], eq. 2; our z is their theta^(d)

P is random and stays; its columns have length 1. Only z is trained. The smallest d whose model reaches 90 % of what
training everything reaches is called d_90: how much a task asks of a model, beside how much the model has.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minillm.axes import checked
from minillm.decomposition.shared import Point, Projection, Theta
from minillm.errors import InputError


def init_projection(parameters: int, d: int, rng: np.random.Generator, dtype: Any = np.float32) -> Projection:
    """Directions drawn at random, each of length 1.

    >>> init_projection(3, 2, np.random.default_rng(0)).shape
    (3, 2)
    """
    if not 1 <= d <= parameters:
        raise InputError(f"intrinsic dimension: d is {d}; of {parameters} parameters, take from 1 to {parameters}.")
    drawn = rng.standard_normal((parameters, d))
    return (drawn / np.sqrt(np.sum(drawn**2, axis=0))).astype(dtype)


@checked
def subspace_point(theta: Theta, projection: Projection, z: Point) -> Theta:
    """The parameters at z.

    >>> subspace_point(np.array([1.0, 2.0]), np.array([[1.0], [0.0]]), np.array([5.0]))
    array([6., 2.])
    """
    return theta + projection @ z


def intrinsic_dimension(
    dimensions: Sequence[int], scores: Sequence[float], whole: float, fraction: float = 0.9
) -> float:
    """The dimension at which the score first reaches `fraction` of `whole`, between two measured ones on a log scale.

    Raises InputError where no dimension reaches it, or already the first does: then it lies outside what was measured.

    >>> intrinsic_dimension([10, 100, 1000], [0.5, 0.8, 1.0], whole=1.0)
    316.22776601683796
    """
    goal = fraction * whole
    reached = [index for index, score in enumerate(scores) if score >= goal]
    if not reached or reached[0] == 0:
        raise InputError(
            f"intrinsic dimension: {goal:.3f} is {'reached by the first' if reached else 'not reached by any'} of the "
            f"dimensions {list(dimensions)}; measure {'smaller' if reached else 'larger'} ones."
        )
    above = reached[0]
    low, high = scores[above - 1], scores[above]
    way = (goal - low) / (high - low)
    return float(dimensions[above - 1] * (dimensions[above] / dimensions[above - 1]) ** way)
