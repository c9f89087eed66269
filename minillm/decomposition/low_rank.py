"""Low rank: the few directions that matter of a matrix, and what leaving out the rest costs.

    A_r = sum of the r largest s_i u_i v_i^T,    |A - A_r|_F^2 = sum_{i > r} s_i^2       [Eckart1936]

No matrix of rank r is nearer. `randomized_svd` finds nearly the same without the whole decomposition: A times a few
random vectors lies mostly along the largest u_i, so A is decomposed within the space that these products span
([Halko2011], algorithms 4.4 and 5.1). Energy is s^2, never s.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.decomposition.shared import (
    SVD,
    Matrices,
    Matrix,
    SingularValues,
    TestMatrix,
    check_blocks,
    check_finite,
    check_rank,
    check_samples,
)
from minillm.decomposition.svd import jacobi_svd


@checked
def truncated_svd(matrix: Matrices, rank: int) -> SVD:
    """The `rank` largest singular values and their directions.

    >>> truncated_svd(np.diag([1.0, 3.0, 2.0]), 2).s
    array([3., 2.])
    """
    check_rank(rank, matrix.shape[-2:], "truncated_svd")
    u, s, vt = jacobi_svd(matrix)
    return SVD(u[..., :rank], s[..., :rank], vt[..., :rank, :])


@checked
def low_rank_approximation(matrix: Matrices, rank: int) -> Matrices:
    """The nearest matrix of that rank.

    >>> low_rank_approximation(np.diag([1.0, 3.0, 2.0]), 1) + 0.0
    array([[0., 0., 0.],
           [0., 3., 0.],
           [0., 0., 0.]])
    """
    u, s, vt = truncated_svd(matrix, rank)
    return (u * s[..., None, :]) @ vt


@checked
def randomized_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, power_iterations: int = 4) -> SVD:
    """Nearly the truncated decomposition, from a few products with the matrix.

    `test_matrix` is drawn by the caller, standard normal, with a few more columns than `rank`: 8 to 10 more are
    customary. Each power iteration multiplies by A^T and A once more, so that small singular values disturb less:
    (s_j / s_i)^(2q + 1) of them is left. QR between the products keeps the vectors apart.

    >>> wide_apart = np.diag([8.0, 4.0, 1e-3, 1e-3])
    >>> randomized_svd(wide_apart, 2, np.random.default_rng(0).standard_normal((4, 3))).s.round(6)
    array([8., 4.])
    """
    check_finite(matrix)
    check_samples(rank, matrix.shape, test_matrix.shape[-1], power_iterations)
    a = wide(matrix)
    basis, _ = np.linalg.qr(a @ test_matrix.astype(a.dtype))
    for _ in range(power_iterations):
        back, _ = np.linalg.qr(a.T @ basis)
        basis, _ = np.linalg.qr(a @ back)
    u, s, vt = jacobi_svd(basis.T @ a)
    svd = SVD(basis @ u[:, :rank], s[:rank], vt[:rank])
    return SVD(*(part.astype(matrix.dtype) for part in svd))


@checked
def krylov_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, iterations: int = 4) -> SVD:
    """As `randomized_svd`, but nothing that was computed on the way is thrown away.

    The basis has A Omega, A A^T A Omega, and so on: all blocks, where power iteration keeps the last. So the same error
    takes fewer products, with fewer test vectors: half of `rank` and a few more ([Musco2015], algorithm 2). All blocks
    together may not be more vectors than the matrix has rows or columns.

    >>> wide_apart = np.diag([8.0, 4.0, 1e-3, 1e-3, 1e-3])
    >>> krylov_svd(wide_apart, 2, np.random.default_rng(0).standard_normal((5, 2)), 1).s.round(6)
    array([8., 4.])
    """
    check_finite(matrix)
    check_blocks(rank, matrix.shape, test_matrix.shape[-1], iterations)
    a = wide(matrix)
    block, _ = np.linalg.qr(a @ test_matrix.astype(a.dtype))
    basis = block
    for _ in range(iterations):
        further = a @ (a.T @ block)
        block, _ = np.linalg.qr(further - basis @ (basis.T @ further))
        basis = np.concatenate([basis, block], axis=-1)
    basis, _ = np.linalg.qr(basis)  # the blocks are perpendicular but for rounding
    u, s, vt = jacobi_svd(basis.T @ a)
    svd = SVD(basis @ u[:, :rank], s[:rank], vt[:rank])
    return SVD(*(part.astype(matrix.dtype) for part in svd))


@checked
def explained_energy(s: SingularValues) -> SingularValues:
    """How much of |A|_F^2 the first r singular values have, for every r; 1 for all of a zero matrix.

    >>> explained_energy(np.array([2.0, 1.0, 1.0, 0.0])).round(4)
    array([0.6667, 0.8333, 1.    , 1.    ])
    """
    largest = np.max(wide(s), axis=-1, keepdims=True, initial=0)
    energy = np.cumsum((wide(s) / np.where(largest > 0, largest, 1)) ** 2, axis=-1)
    total = energy[..., -1:]
    return np.where(total > 0, energy / np.where(total > 0, total, 1), 1).astype(s.dtype)


@checked
def effective_rank(s: SingularValues) -> Float[Any, "*batch"]:
    """How many singular values there are, if they were all alike: exp of the entropy of s / sum(s).

    ([Roy2007], of s, not of s^2.) 0 of a zero matrix.

    >>> effective_rank(np.array([2.0, 2.0, 0.0])).round(4)
    np.float64(2.0)
    """
    largest = np.max(wide(s), axis=-1, keepdims=True, initial=0)
    scaled = wide(s) / np.where(largest > 0, largest, 1)
    total = np.sum(scaled, axis=-1, keepdims=True)
    probabilities = scaled / np.where(total > 0, total, 1)
    entropy = -np.sum(probabilities * np.log(np.where(probabilities > 0, probabilities, 1)), axis=-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0).astype(s.dtype)[()]


@checked
def numerical_rank(s: SingularValues, rows: int, columns: int) -> Int[Any, "*batch"]:
    """How many singular values are more than rounding: above eps max(rows, columns) s_1.

    >>> int(numerical_rank(np.array([1.0, 1e-3, 1e-17]), 3, 3))
    2
    """
    least = np.finfo(s.dtype).eps * max(rows, columns) * np.max(s, axis=-1, keepdims=True, initial=0)
    return np.sum(s > least, axis=-1).astype(np.int32)[()]
