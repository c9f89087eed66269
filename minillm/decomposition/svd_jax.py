"""Singular value decomposition in JAX.

What differs: the loops are the device's own, so that one program serves every matrix of a shape; a pair that needs no
rotation is multiplied by the identity; inside `jit` a matrix that is not finite gives NaN, and too few sweeps are no
error. JAX cannot differentiate a loop of unknown length, so the gradient is the one derived in `svd_gradient`. The form
that runs rotates many pairs at once (`fast.round_robin`).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.decomposition.fast import round_robin
from minillm.decomposition.shared import SVD, Matrices, Matrix, check_finite, underflow
from minillm.decomposition.svd_gradient_jax import with_svd_gradient
from minillm.forms import faster


@checked
def jacobi_svd(matrix: Matrices, max_sweeps: int = 40) -> SVD:
    """As the reference."""
    check_finite(matrix)
    rows, columns = matrix.shape[-2:]
    if rows < columns:
        u, s, vt = jacobi_svd(jnp.swapaxes(matrix, -1, -2), max_sweeps)
        return SVD(jnp.swapaxes(vt, -1, -2), s, jnp.swapaxes(u, -1, -2))
    return SVD(*(part.astype(matrix.dtype) for part in _jacobi(wide(matrix), max_sweeps)))


@with_svd_gradient
def _jacobi(matrix: Matrices, max_sweeps: int) -> SVD:
    scale = jnp.max(jnp.abs(matrix), axis=(-2, -1), keepdims=True, initial=0.0)
    scale = jnp.where(scale > 0, scale, 1)
    a, v = perpendicular_columns(matrix / scale, max_sweeps)
    return SVD(*_from_perpendicular(a, v, scale[..., 0, 0]))


@faster(round_robin.perpendicular_columns)
@partial(jax.jit, static_argnums=1)
@partial(jnp.vectorize, excluded={1}, signature="(m,n)->(m,n),(n,n)")
def perpendicular_columns(matrix: Matrix, max_sweeps: int = 40) -> tuple[Matrix, Matrix]:
    """As the reference, of a batch."""
    a, v = matrix, jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    columns, least = a.shape[1], underflow(a.dtype)
    tolerance = np.finfo(a.dtype).eps * np.sqrt(len(a))
    pairs = np.array([(i, j) for i in range(columns - 1) for j in range(i + 1, columns)], np.int32).reshape(-1, 2)

    def rotate(state: Any, pair: Any) -> tuple[Any, None]:
        (a, v, rotated), (i, j) = state, pair
        alpha, beta, gamma = a[:, i] @ a[:, i], a[:, j] @ a[:, j], a[:, i] @ a[:, j]
        needed = jnp.abs(gamma) > jnp.maximum(tolerance * jnp.sqrt(alpha) * jnp.sqrt(beta), least)
        rotation = jacobi_rotation(alpha, beta, jnp.where(needed, gamma, 0))
        a, v = a.at[:, pair].set(a[:, pair] @ rotation), v.at[:, pair].set(v[:, pair] @ rotation)
        return (a, v, rotated | needed), None

    def sweep(state: Any) -> Any:
        a, v, _, number = state
        (a, v, rotated), _ = jax.lax.scan(rotate, (a, v, False), pairs)
        return a, v, rotated, number + 1

    def goes_on(state: Any) -> Any:
        return state[2] & (state[3] < max_sweeps)

    a, v, _, _ = jax.lax.while_loop(goes_on, sweep, (a, v, True, 0))
    return a, v


def jacobi_rotation(alpha: Any, beta: Any, gamma: Any) -> Float[Any, "2 2"]:
    """As the reference."""
    zeta = (beta - alpha) / (2 * jnp.where(gamma == 0, 1, gamma))
    tangent = jnp.where(zeta >= 0, 1, -1) / (jnp.abs(zeta) + jnp.hypot(jnp.ones_like(zeta), zeta))
    tangent = jnp.where(gamma == 0, 0, tangent)
    cosine = 1 / jnp.hypot(jnp.ones_like(tangent), tangent)
    return jnp.array([[cosine, tangent * cosine], [-tangent * cosine, cosine]])


@jax.jit
@partial(jnp.vectorize, signature="(m,n),(n,n),()->(m,n),(n),(n,n)")
def _from_perpendicular(a: Matrix, v: Matrix, scale: Any) -> SVD:
    lengths = jnp.sqrt(jnp.sum(a * a, axis=0))
    order = jnp.argsort(-lengths, stable=True)
    a, v, lengths = a[:, order], v[:, order], lengths[order]
    u = a / jnp.where(lengths > 0, lengths, 1)
    known = lengths**2 > underflow(a.dtype) / np.finfo(a.dtype).eps
    return SVD(with_missing_directions(u, known), scale * lengths, v.T)


def with_missing_directions(u: Matrices, known: Any) -> Matrices:
    """As the reference."""
    filled, _ = jnp.linalg.qr(jnp.where(known[..., None, :], u, 0))
    return jnp.where(known[..., None, :], u, filled)
