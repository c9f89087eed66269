"""The random decompositions with cheaper steps between the products. Not for gradients.

The vectors lie in rows, since so XLA:CPU multiplies them by a matrix in a half of the time, and are kept apart by
Cholesky QR: two thin products, which all devices are fast at, where Householder's reflections come one after another.
Power iteration keeps them apart once an iteration, where the plain form does so twice.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.axes import wide
from minillm.decomposition.shared import SVD, Matrix, TestMatrix, check_blocks, check_finite, check_samples

Rows = Float[Any, "samples rows"]


def randomized_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, power_iterations: int = 4) -> SVD:
    """As the plain form."""
    check_finite(matrix)
    check_samples(rank, matrix.shape, test_matrix.shape[-1], power_iterations)
    return _randomized_svd(matrix, rank, test_matrix, power_iterations)


@partial(jax.jit, static_argnames=("rank", "power_iterations"))
def _randomized_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, power_iterations: int) -> SVD:
    a = wide(matrix)
    sample = test_matrix.astype(a.dtype).T @ a.T
    for _ in range(power_iterations):
        sample = (_nearly_orthonormal(sample) @ a) @ a.T
    return _from_basis(a, _nearly_orthonormal(_nearly_orthonormal(sample)), rank, matrix.dtype)


def krylov_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, iterations: int = 4) -> SVD:
    """As the plain form."""
    check_finite(matrix)
    check_blocks(rank, matrix.shape, test_matrix.shape[-1], iterations)
    return _krylov_svd(matrix, rank, test_matrix, iterations)


@partial(jax.jit, static_argnames=("rank", "iterations"))
def _krylov_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, iterations: int) -> SVD:
    a = wide(matrix)
    block = _nearly_orthonormal(test_matrix.astype(a.dtype).T @ a.T)
    basis = block
    for _ in range(iterations):
        further = (block @ a) @ a.T
        block = _nearly_orthonormal(further - (further @ basis.T) @ basis)
        basis = jnp.concatenate([basis, block])
    return _from_basis(a, _nearly_orthonormal(_nearly_orthonormal(basis)), rank, matrix.dtype)


def _from_basis(a: Matrix, basis: Rows, rank: int, dtype: Any) -> SVD:
    """A is nearly basis^T (basis A), whose small factor is decomposed."""
    v, s, ut = jnp.linalg.svd((basis @ a).T, full_matrices=False)
    svd = SVD(basis.T @ ut[:rank].T, s[:rank], v[:, :rank].T)
    return SVD(*(part.astype(dtype) for part in svd))


def _nearly_orthonormal(vectors: Rows) -> Rows:
    """The same space by Cholesky QR, orthonormal to within rounding times the square of the vectors' condition.

    Done twice, to within rounding; a small multiple of the identity keeps directions that are nothing but rounding from
    failing.
    """
    gram = vectors @ vectors.T
    size = jnp.trace(gram) / gram.shape[0]
    ridge = jnp.where(size > 0, 16 * np.finfo(gram.dtype).eps * size, 1)
    lower = jnp.linalg.cholesky(gram + ridge * jnp.eye(gram.shape[0], dtype=gram.dtype))
    return jax.lax.linalg.triangular_solve(lower, vectors, left_side=True, lower=True)
