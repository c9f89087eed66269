"""Rotary embedding in JAX. What differs: no angle is computed in float64, which a TPU does not have."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.axes import Positions, Query, Rotation, checked

_BASE, _DIGITS = 256, 3  # positions up to 256^3 = 16.8 million


def rotary_frequencies(
    head_dim: int, theta: float = 10000.0, factors: tuple[float, ...] | None = None
) -> Float[np.ndarray, "half"]:
    """As the reference, and by NumPy: they are constants of the compiled program."""
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    return frequencies if factors is None else frequencies / np.asarray(factors)


@partial(jax.jit, static_argnames=("head_dim", "theta", "factors", "dtype", "attention_factor"))
@checked
def rotary_cos_sin(
    positions: Positions,
    head_dim: int,
    theta: float = 10000.0,
    factors: tuple[float, ...] | None = None,
    dtype: Any = jnp.float32,
    attention_factor: float = 1.0,
) -> tuple[Rotation, Rotation]:
    """As the reference, to rounding; a float32 angle would be up to 5e-4 off at position 8000.

    Here a position is written in base 256, each digit's cosine and sine come from a small table made in
    float64, and the addition theorem joins them: cos(a + b) = cos a cos b - sin a sin b.
    """
    wide = np.promote_types(dtype, np.float32)
    frequencies = rotary_frequencies(head_dim, theta, factors)
    cos, sin = jnp.asarray(attention_factor, wide), jnp.zeros((), wide)
    for place in range(_DIGITS):
        angles = np.arange(_BASE)[:, None] * _BASE**place * frequencies
        digit = positions // _BASE**place % _BASE
        digit_cos, digit_sin = (jnp.asarray(table, wide)[digit] for table in (np.cos(angles), np.sin(angles)))
        cos, sin = cos * digit_cos - sin * digit_sin, sin * digit_cos + cos * digit_sin
    return cos.astype(dtype), sin.astype(dtype)


@jax.jit
@checked
def rotary_embedding(x: Query, cos: Rotation, sin: Rotation) -> Query:
    """As the reference."""
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = cos[..., None, :], sin[..., None, :]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
