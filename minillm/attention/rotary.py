"""Rotary embedding: say where a token stands by rotating its query and key.

    each pair (x_i, x_{i+H/2}) of a head is rotated by the angle  position * theta^(-2i/H)
                                                            [Su2021], eq. 34

The product of a query rotated by t and a key rotated by s depends on t - s alone: attention sees distances.
Our pairs are the two halves of a head (as in Llama's published weights for Transformers); the paper's are
neighbours (2i, 2i+1). The two differ by a fixed reordering of the columns of the query and key matrices.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import Positions, Query, Rotation, checked


def rotary_frequencies(
    head_dim: int, theta: float = 10000.0, factors: tuple[float, ...] | None = None
) -> Float[np.ndarray, "half"]:
    """Radians per position of each pair, float64; `factors` divide them (a context stretched after training).

    >>> rotary_frequencies(4, theta=100.0)
    array([1. , 0.1])
    """
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    return frequencies if factors is None else frequencies / np.asarray(factors)


@checked
def rotary_cos_sin(
    positions: Positions,
    head_dim: int,
    theta: float = 10000.0,
    factors: tuple[float, ...] | None = None,
    dtype: Any = np.float32,
    attention_factor: float = 1.0,
) -> tuple[Rotation, Rotation]:
    """Cosine and sine of every pair's angle. The angles are float64: at position 8000 a float32 is up to 5e-4 off.

    Both are multiplied by `attention_factor`, which lengthens queries and keys alike (`context_extension.yarn`).

    >>> cos, sin = rotary_cos_sin(np.array([0, 1]), 2, dtype=np.float64)
    >>> cos.round(4).tolist(), sin.round(4).tolist()
    ([[1.0], [0.5403]], [[0.0], [0.8415]])
    """
    angles = positions[..., None] * rotary_frequencies(head_dim, theta, factors)
    return (attention_factor * np.cos(angles)).astype(dtype), (attention_factor * np.sin(angles)).astype(dtype)


@checked
def rotary_embedding(x: Query, cos: Rotation, sin: Rotation) -> Query:
    """Rotate each pair of each head by its token's angle; lengths stay as they are.

    >>> quarter_turn = np.array([[0.0]]), np.array([[1.0]])
    >>> rotary_embedding(np.array([[[3.0, 4.0]]]), *quarter_turn)
    array([[[-4.,  3.]]])
    """
    first, second = np.split(x, 2, axis=-1)
    cos, sin = cos[..., None, :], sin[..., None, :]  # the same angle for every head
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
