"""Jacobi's rotations, many pairs at once.

One-sided Jacobi asks for no order of the pairs. Here they are played as a round-robin tournament [Brent1985]: the
columns sit in two rows, the pairs that face each other rotate at once, and all but the first move on one seat; so a
round is a few operations on whole arrays, for all matrices of a batch together.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.decomposition.shared import Matrices, underflow


@partial(jax.jit, static_argnums=1)
def perpendicular_columns(matrix: Matrices, max_sweeps: int = 40) -> tuple[Matrices, Matrices]:
    """As the plain form, of a batch."""
    rows, columns = matrix.shape[-2:]
    identity = jnp.broadcast_to(jnp.eye(columns, dtype=matrix.dtype), (*matrix.shape[:-2], columns, columns))
    both = jnp.swapaxes(jnp.concatenate([matrix, identity], -2), -1, -2)  # a row is a column of A, then of V
    both = jnp.swapaxes(_rotated(both, rows, max_sweeps), -1, -2)
    return both[..., :rows, :], both[..., rows:, :]


def _rotated(both: Any, length: int, max_sweeps: int) -> Any:
    """Sweeps over all pairs of vectors, each of which is (perpendicular in its first `length` numbers, the rest)."""
    count = both.shape[-2]
    if count == 1:
        return both
    seats = -(-count // 2)
    padding = [(0, 0)] * (both.ndim - 2) + [(0, 2 * seats - count), (0, 0)]
    above, below = jnp.split(jnp.pad(both, padding), 2, axis=-2)
    tolerance = np.finfo(both.dtype).eps * np.sqrt(length)

    def one_round(_: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        above, below, rotated = state
        above, below, these = _rotate(above, below, length, tolerance)
        return *_move_on(above, below), rotated | these

    def sweep(state: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        above, below, _, number = state
        above, below, rotated = jax.lax.fori_loop(0, 2 * seats - 1, one_round, (above, below, False))
        return above, below, rotated, number + 1

    def goes_on(state: tuple[Any, Any, Any, Any]) -> Any:
        return state[2] & (state[3] < max_sweeps)

    above, below, _, _ = jax.lax.while_loop(goes_on, sweep, (above, below, jnp.array(True), 0))
    return jnp.concatenate([above, below], axis=-2)[..., :count, :]  # after a whole sweep everyone sits as before


def _rotate(above: Any, below: Any, length: int, tolerance: Any) -> tuple[Any, Any, Any]:
    """Rotate each pair that is not perpendicular; and whether there was one."""
    a, b = above[..., :length], below[..., :length]
    alpha, beta, gamma = (jnp.sum(product, axis=-1, keepdims=True) for product in (a * a, b * b, a * b))
    needed = jnp.abs(gamma) > jnp.maximum(tolerance * jnp.sqrt(alpha) * jnp.sqrt(beta), underflow(gamma.dtype))
    zeta = (beta - alpha) / (2 * jnp.where(needed, gamma, 1))
    tangent = jnp.where(zeta >= 0, 1, -1) / (jnp.abs(zeta) + jnp.hypot(jnp.ones_like(zeta), zeta))
    tangent = jnp.where(needed, tangent, 0)
    cosine = jax.lax.rsqrt(1 + tangent * tangent)
    sine = tangent * cosine
    return cosine * above - sine * below, sine * above + cosine * below, jnp.any(needed)


def _move_on(above: Any, below: Any) -> tuple[Any, Any]:
    """The next round's seats: the first stays, the others go round."""
    if above.shape[-2] == 1:
        return above, below
    first, rest, last = above[..., :1, :], above[..., 1:-1, :], above[..., -1:, :]
    return (
        jnp.concatenate([first, below[..., :1, :], rest], axis=-2),
        jnp.concatenate([below[..., 1:, :], last], axis=-2),
    )
