"""Rotary embedding.

A rotation tells where a token stands: each pair of numbers in its query and key is rotated by an angle
that grows with the position. The product of a query and a key then depends only on their distance.

Your pairs are {PAIRS}.
"""

import numpy as np


def rotary_cos_sin(positions, head_dim, theta):
    """Cosines and sines of the angles, each (T, head_dim / 2), float64.

    Pair i of a token at position p is rotated by the angle p * theta^(-2i / head_dim).
    """
    # BEGIN SOLUTION
    angles = positions[:, None] * theta ** (-2 * np.arange(head_dim // 2) / head_dim)
    return np.cos(angles), np.sin(angles)
    # END SOLUTION


def rotary_embedding(x, cos, sin):
    """Rotate every pair of every head of `x`, (T, N, H), by the angle of its token and pair. `cos` and
    `sin` are (T, H / 2).

    The pair (a, b) becomes (a cos - b sin, b cos + a sin), at the same places. Pairs are {PAIRS}.
    """
    # BEGIN SOLUTION
    cos, sin = cos[:, None, :], sin[:, None, :]
    H = x.shape[-1]
    halves = (slice(None, H // 2), slice(H // 2, None)), (slice(0, None, 2), slice(1, None, 2))
    first, second = halves[PAIRS != "halves"]
    rotated = np.empty_like(x)
    rotated[..., first] = x[..., first] * cos - x[..., second] * sin
    rotated[..., second] = x[..., second] * cos + x[..., first] * sin
    return rotated
    # END SOLUTION
