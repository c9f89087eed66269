"""How a gradient goes back through a singular value decomposition.

Both sides use it: NumPy in `low_rank_vjp`, JAX in place of its own, which is 0 / 0 where two singular values are equal.
"""

from typing import Any

import numpy as np

from minillm.decomposition.shared import SVD, Matrices


def svd_gradient(svd: SVD, g: SVD) -> Matrices:
    """From the gradient of all of U, s and V^T to that of the matrix.

    Write dP = U^T dA V, in the basis of all singular vectors, and split it in a symmetric part Y and an antisymmetric
    part Z. Differentiating A = U S V^T, where U^T dU and V^T dV are antisymmetric, gives ds_i = dP_ii and

        (U^T dU)_ij = Y_ij / (s_j - s_i) + Z_ij / (s_j + s_i),     (V^T dV)_ij = Y_ij / (s_j - s_i) - Z_ij / (s_j + s_i)

    and outside the thin basis (I - U U^T) dU = (I - U U^T) dA V / S, likewise of V. Read backwards, with E_ij =
    1 / (s_j - s_i), G_ij = 1 / (s_j + s_i), X = U^T gU and W = V^T gV:

        dA = U [sym(E * (X + W)) + anti(G * (X - W)) + diag(gs)] V^T + (I - U U^T) gU / S V^T + U / S gV^T (I - V V^T)

    Of equal singular values only the space is determined: their directions jump, and have no gradient. E is 0 there, as
    G and 1 / s are at 0: finite, and right for what depends on the space or on the singular values alone. For their
    product there is `approximation_gradient`.

    >>> one = np.ones((1, 1))
    >>> svd_gradient(SVD(one, np.array([2.0]), one), SVD(0 * one, np.array([3.0]), 0 * one))
    array([[3.]])
    """
    (u, s, vt), (gu, gs, gvt) = svd, g
    v, gv, ut = (np.swapaxes(part, -1, -2) for part in (vt, gvt, u))
    columns, rows = s[..., None, :], s[..., None]
    least = 16 * np.finfo(s.dtype).eps * np.max(s, axis=-1)[..., None, None]
    x, w, inverse = ut @ gu, vt @ gv, inverse_or_zero(columns, least)
    together = inverse_or_zero(columns - rows, least) * (x + w)
    against = inverse_or_zero(columns + rows, least) * (x - w)
    middle = (together + np.swapaxes(together, -1, -2) + against - np.swapaxes(against, -1, -2)) / 2
    middle = middle + gs[..., None] * np.eye(s.shape[-1], dtype=s.dtype)
    outside_u, outside_v = (gu - u @ x) * inverse, (gv - v @ w) * inverse
    return u @ (middle @ vt + np.swapaxes(outside_v, -1, -2)) + outside_u @ vt


def approximation_gradient(svd: SVD, rank: int, g: Matrices) -> Matrices:
    """From the gradient of A_r to that of the matrix, whose whole decomposition is given.

    With kept_i = s_i for i <= r and 0 beyond, A_r = U diag(kept) V^T. Put into `svd_gradient`, where s_j - s_i cancels,
    this gives for M = U^T g V

        dA = U [D * sym(M) + C * anti(M)] V^T + (I - U U^T) g V_r V_r^T + U_r U_r^T g (I - V V^T)
        D_ij = (kept_i - kept_j) / (s_i - s_j),   C_ij = (kept_i + kept_j) / (s_i + s_j)

    and D is 1 where both are kept, also if they are equal [Daleckii1965]. Only where the last one kept equals the first
    one left out is there no gradient; D is 0 then.

    >>> one = np.ones((1, 1))
    >>> approximation_gradient(SVD(one, np.array([2.0]), one), 1, 3 * one)
    array([[3.]])
    """
    u, s, vt = svd
    ut, v = np.swapaxes(u, -1, -2), np.swapaxes(vt, -1, -2)
    is_kept = np.arange(s.shape[-1]) < rank
    kept = np.where(is_kept, s, 0)
    columns, rows = s[..., None, :], s[..., None]
    least = 16 * np.finfo(s.dtype).eps * np.max(s, axis=-1)[..., None, None]
    difference = (kept[..., None] - kept[..., None, :]) * inverse_or_zero(rows - columns, least)
    difference = np.where(is_kept[:, None] & is_kept, 1, difference)
    total = (kept[..., None] + kept[..., None, :]) * inverse_or_zero(rows + columns, least)
    m = ut @ g @ v
    mt = np.swapaxes(m, -1, -2)
    middle = (difference * (m + mt) + total * (m - mt)) / 2
    outside_u, outside_v = np.where(is_kept, g @ v - u @ m, 0), np.where(is_kept[:, None], ut @ g - m @ vt, 0)
    return (u @ (middle @ vt + outside_v) + outside_u @ vt).astype(g.dtype)


def inverse_or_zero(x: Any, least: Any) -> Any:
    """1 / x, and 0 where x is nothing but rounding.

    >>> inverse_or_zero(np.array([4.0, 1e-9]), 1e-6)
    array([0.25, 0.  ])
    """
    rounding = np.abs(x) <= least
    return np.where(rounding, 0, 1 / np.where(rounding, 1, x))
