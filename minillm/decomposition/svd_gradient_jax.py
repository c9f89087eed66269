"""How a gradient goes back through a singular value decomposition in JAX, and how a decomposition gets it.

What differs: nothing in the formulas. JAX's own gradient divides by the gaps between singular values, and gives NaN
where two are equal; and it cannot go back through a loop of unknown length.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.axes import wide
from minillm.decomposition.shared import SVD, Matrices


def with_svd_gradient(decompose: Callable[..., SVD]) -> Callable[..., SVD]:
    """A decomposition with the gradient below; its arguments are a matrix and one setting, which is no array."""

    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    @wraps(decompose)
    def differentiable(matrix: Matrices, setting: Any) -> SVD:
        return decompose(matrix, setting)

    def forward(matrix: Matrices, setting: Any) -> tuple[SVD, SVD]:
        svd = decompose(matrix, setting)
        return svd, svd

    differentiable.defvjp(forward, lambda setting, svd, g: (svd_gradient(svd, g),))
    return differentiable


@jax.jit
def svd_gradient(svd: SVD, g: SVD) -> Matrices:
    """As the reference."""
    (u, s, vt), (gu, gs, gvt) = (SVD(*map(wide, parts)) for parts in (svd, g))
    v, gv, ut = (jnp.swapaxes(part, -1, -2) for part in (vt, gvt, u))
    columns, rows = s[..., None, :], s[..., None]
    least = 16 * np.finfo(s.dtype).eps * jnp.max(s, axis=-1)[..., None, None]
    x, w, inverse = ut @ gu, vt @ gv, inverse_or_zero(columns, least)
    together = inverse_or_zero(columns - rows, least) * (x + w)
    against = inverse_or_zero(columns + rows, least) * (x - w)
    middle = (together + jnp.swapaxes(together, -1, -2) + against - jnp.swapaxes(against, -1, -2)) / 2
    middle = middle + gs[..., None] * jnp.eye(s.shape[-1], dtype=s.dtype)
    outside_u, outside_v = (gu - u @ x) * inverse, (gv - v @ w) * inverse
    return (u @ (middle @ vt + jnp.swapaxes(outside_v, -1, -2)) + outside_u @ vt).astype(svd.s.dtype)


@partial(jax.jit, static_argnums=1)
def approximation_gradient(svd: SVD, rank: int, g: Matrices) -> Matrices:
    """As the reference."""
    u, s, vt = map(wide, svd)
    ut, v = jnp.swapaxes(u, -1, -2), jnp.swapaxes(vt, -1, -2)
    is_kept = jnp.arange(s.shape[-1]) < rank
    kept = jnp.where(is_kept, s, 0)
    columns, rows = s[..., None, :], s[..., None]
    least = 16 * np.finfo(s.dtype).eps * jnp.max(s, axis=-1)[..., None, None]
    difference = (kept[..., None] - kept[..., None, :]) * inverse_or_zero(rows - columns, least)
    difference = jnp.where(is_kept[:, None] & is_kept, 1, difference)
    total = (kept[..., None] + kept[..., None, :]) * inverse_or_zero(rows + columns, least)
    m = ut @ wide(g) @ v
    mt = jnp.swapaxes(m, -1, -2)
    middle = (difference * (m + mt) + total * (m - mt)) / 2
    outside_u = jnp.where(is_kept, wide(g) @ v - u @ m, 0)
    outside_v = jnp.where(is_kept[:, None], ut @ wide(g) - m @ vt, 0)
    return (u @ (middle @ vt + outside_v) + outside_u @ vt).astype(g.dtype)


def inverse_or_zero(x: Any, least: Any) -> Any:
    """As the reference."""
    rounding = jnp.abs(x) <= least
    return jnp.where(rounding, 0, 1 / jnp.where(rounding, 1, x))
