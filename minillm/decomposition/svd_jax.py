"""Singular value decomposition, jitted: `minillm.decomposition.svd` for CPU, GPU and TPU.

One-sided Jacobi asks for no order of the pairs. Here they are played as a round-robin tournament (Brent & Luk 1985):
the columns sit in two rows, the pairs that face each other turn at once, and all but the first move on one seat; so a
round is a few operations on whole arrays, for all matrices of a batch together.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.errors import InputError

Matrix = Float[Any, "rows columns"]
Matrices = Float[Any, "*batch rows columns"]


class SVD(NamedTuple):
    """As the reference."""

    u: Float[Any, "*batch rows R"]
    s: Float[Any, "*batch R"]
    vt: Float[Any, "*batch R columns"]


@checked
def jacobi_svd(matrix: Matrices, max_sweeps: int = 40) -> SVD:
    """As the reference, with a gradient; inside `jit` what is not finite gives NaN, and too few sweeps pass."""
    check_finite(matrix)
    return _jacobi_svd(matrix, max_sweeps)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
@partial(jax.jit, static_argnums=1)
def _jacobi_svd(matrix: Matrices, max_sweeps: int) -> SVD:
    rows, columns = matrix.shape[-2:]
    if rows < columns:
        u, s, vt = _jacobi_svd(jnp.swapaxes(matrix, -1, -2), max_sweeps)
        return SVD(jnp.swapaxes(vt, -1, -2), s, jnp.swapaxes(u, -1, -2))
    a = wide(matrix)
    scale = jnp.max(jnp.abs(a), axis=(-1, -2), keepdims=True, initial=0)
    scale = jnp.where(scale > 0, scale, 1)
    # A row is a column of A, and below it the same column of V.
    both = jnp.concatenate(
        [a / scale, jnp.broadcast_to(jnp.eye(columns, dtype=a.dtype), (*a.shape[:-2], columns, columns))], -2
    )
    both = _turned_until_perpendicular(jnp.swapaxes(both, -1, -2), rows, max_sweeps)
    lengths = jnp.sqrt(jnp.sum(both[..., :rows] ** 2, axis=-1))
    order = jnp.argsort(-lengths, axis=-1, stable=True)
    lengths, both = jnp.take_along_axis(lengths, order, -1), jnp.take_along_axis(both, order[..., None], -2)
    directions = both[..., :rows] / jnp.where(lengths > 0, lengths, 1)[..., None]
    known = lengths**2 > underflow(a.dtype) / np.finfo(a.dtype).eps
    u = with_missing_directions(jnp.swapaxes(directions, -1, -2), known)
    return SVD(*(part.astype(matrix.dtype) for part in (u, scale[..., 0] * lengths, both[..., rows:])))


def _turned_until_perpendicular(both: Any, length: int, max_sweeps: int) -> Any:
    """Sweeps over all pairs of vectors, each of which is (perpendicular in its first `length` numbers, the rest)."""
    count = both.shape[-2]
    if count == 1:
        return both
    seats = -(-count // 2)
    padding = [(0, 0)] * (both.ndim - 2) + [(0, 2 * seats - count), (0, 0)]
    above, below = jnp.split(jnp.pad(both, padding), 2, axis=-2)
    tolerance = np.finfo(both.dtype).eps * np.sqrt(length)

    def one_round(_: Any, carried: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        above, below, turned = carried
        above, below, these = _turn(above, below, length, tolerance)
        return *_move_on(above, below), turned | these

    def sweep(carried: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        above, below, _, number = carried
        above, below, turned = jax.lax.fori_loop(0, 2 * seats - 1, one_round, (above, below, False))
        return above, below, turned, number + 1

    def goes_on(carried: tuple[Any, Any, Any, Any]) -> Any:
        return carried[2] & (carried[3] < max_sweeps)

    above, below, _, _ = jax.lax.while_loop(goes_on, sweep, (above, below, jnp.array(True), 0))
    return jnp.concatenate([above, below], axis=-2)[..., :count, :]  # after a whole sweep everyone sits as before


def _turn(above: Any, below: Any, length: int, tolerance: Any) -> tuple[Any, Any, Any]:
    """Turn each pair that is not perpendicular; and whether there was one."""
    a, b = above[..., :length], below[..., :length]
    alpha, beta, gamma = (jnp.sum(product, axis=-1, keepdims=True) for product in (a * a, b * b, a * b))
    turns = jnp.abs(gamma) > jnp.maximum(tolerance * jnp.sqrt(alpha) * jnp.sqrt(beta), underflow(gamma.dtype))
    zeta = (beta - alpha) / (2 * jnp.where(turns, gamma, 1))
    tangent = jnp.where(zeta >= 0, 1, -1) / (jnp.abs(zeta) + jnp.hypot(jnp.ones_like(zeta), zeta))
    tangent = jnp.where(turns, tangent, 0)
    cosine = jax.lax.rsqrt(1 + tangent * tangent)
    sine = tangent * cosine
    return cosine * above - sine * below, sine * above + cosine * below, jnp.any(turns)


def underflow(dtype: Any) -> float:
    """As the reference."""
    return float(np.finfo(dtype).tiny / np.finfo(dtype).eps)


def _move_on(above: Any, below: Any) -> tuple[Any, Any]:
    """The next round's seats: the first stays, the others go round."""
    if above.shape[-2] == 1:
        return above, below
    first, rest, last = above[..., :1, :], above[..., 1:-1, :], above[..., -1:, :]
    return (
        jnp.concatenate([first, below[..., :1, :], rest], axis=-2),
        jnp.concatenate([below[..., 1:, :], last], axis=-2),
    )


def _forward(matrix: Matrices, max_sweeps: int) -> tuple[SVD, SVD]:
    found = _jacobi_svd(matrix, max_sweeps)
    return found, found


def _backward(max_sweeps: int, found: SVD, g: SVD) -> tuple[Matrices]:
    return (svd_gradient(found, g),)


_jacobi_svd.defvjp(_forward, _backward)


@jax.jit
def svd_gradient(found: SVD, g: SVD) -> Matrices:
    """What comes back to the matrix; derived at the reference's `truncated_svd_vjp`, and finite as there."""
    dtype = found.s.dtype
    (u, s, vt), (gu, gs, gvt) = (SVD(*(wide(part) for part in parts)) for parts in (found, g))
    v, gv, ut = (jnp.swapaxes(part, -1, -2) for part in (vt, gvt, u))
    columns, rows = s[..., None, :], s[..., None]
    least = 16 * np.finfo(s.dtype).eps * jnp.max(s, axis=-1, keepdims=True)[..., None]
    x, w, inverse = ut @ gu, vt @ gv, inverse_or_zero(columns, least)
    together, against = (
        inverse_or_zero(columns - rows, least) * (x + w),
        inverse_or_zero(columns + rows, least) * (x - w),
    )
    middle = (together + jnp.swapaxes(together, -1, -2) + against - jnp.swapaxes(against, -1, -2)) / 2
    middle = middle + gs[..., None] * jnp.eye(s.shape[-1], dtype=s.dtype)
    outside_u, outside_v = (gu - u @ x) * inverse, (gv - v @ w) * inverse
    return (u @ (middle @ vt + jnp.swapaxes(outside_v, -1, -2)) + outside_u @ vt).astype(dtype)


def inverse_or_zero(x: Any, least: Any) -> Any:
    """1 / x, and 0 where x is nothing but rounding."""
    nothing = jnp.abs(x) <= least
    return jnp.where(nothing, 0, 1 / jnp.where(nothing, 1, x))


def with_missing_directions(u: Matrices, known: Any) -> Matrices:
    """As the reference."""
    filled, _ = jnp.linalg.qr(jnp.where(known[..., None, :], u, 0))
    return jnp.where(known[..., None, :], u, filled)


def check_finite(matrix: Matrices) -> None:
    """As the reference, where the numbers are known."""
    if 0 in matrix.shape[-2:]:
        raise InputError(f"svd: the matrix has shape {matrix.shape}; it must have at least one row and column.")
    if isinstance(matrix, jax.core.Tracer):
        return
    bad = np.asarray(~jnp.isfinite(matrix))
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise InputError(f"svd: the matrix has {matrix[place]} at {place}; it must be finite.")


def check_rank(rank: int, shape: tuple[int, ...], name: str) -> None:
    """As the reference."""
    rows, columns = shape
    if not 1 <= rank <= min(rows, columns):
        raise InputError(
            f"{name}: rank is {rank} of a matrix ({rows}, {columns}); it must be from 1 to {min(rows, columns)}."
        )
