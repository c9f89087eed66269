"""The gradient of low rank, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import checked
from minillm.decomposition.shared import SVD, Matrices, check_rank
from minillm.decomposition.svd import jacobi_svd
from minillm.decomposition.svd_gradient import approximation_gradient, svd_gradient


@checked
def truncated_svd_vjp(matrix: Matrices, rank: int) -> tuple[SVD, Callable[[SVD], tuple[Matrices]]]:
    """`truncated_svd` and its gradient, in the form of `jax.vjp`: `svd_gradient`, where what was left out has g = 0.

    >>> truncated_svd_vjp(np.diag([3.0, 2.0]), 1)[1](SVD(np.zeros((2, 1)), np.ones(1), np.zeros((1, 2))))[0] + 0.0
    array([[1., 0.],
           [0., 0.]])
    """
    check_rank(rank, matrix.shape[-2:], "truncated_svd")
    u, s, vt = jacobi_svd(matrix)

    def vjp(g: SVD) -> tuple[Matrices]:
        gu, gs, gvt = np.zeros_like(u), np.zeros_like(s), np.zeros_like(vt)
        gu[..., :rank], gs[..., :rank], gvt[..., :rank, :] = g
        return (svd_gradient(SVD(u, s, vt), SVD(gu, gs, gvt)),)

    return SVD(u[..., :rank], s[..., :rank], vt[..., :rank, :]), vjp


@checked
def low_rank_approximation_vjp(matrix: Matrices, rank: int) -> tuple[Matrices, Callable[[Matrices], tuple[Matrices]]]:
    """`low_rank_approximation` and its gradient, in the form of `jax.vjp`: `approximation_gradient`.

    >>> low_rank_approximation_vjp(np.diag([2.0, 2.0, 1.0]), 2)[1](np.ones((3, 3)))[0] + 0.0
    array([[1., 1., 2.],
           [1., 1., 2.],
           [2., 2., 0.]])
    """
    check_rank(rank, matrix.shape[-2:], "low_rank_approximation")
    u, s, vt = jacobi_svd(matrix)

    def vjp(g: Matrices) -> tuple[Matrices]:
        return (approximation_gradient(SVD(u, s, vt), rank, g),)

    return (u[..., :rank] * s[..., None, :rank]) @ vt[..., :rank, :], vjp
