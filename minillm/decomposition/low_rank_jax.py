"""Low rank, jitted: `minillm.decomposition.low_rank` for CPU, GPU and TPU.

`truncated_svd` decomposes with XLA's own algorithm of each platform (LAPACK, cuSOLVER, on TPU polar decompositions),
which is faster than Jacobi on one large matrix; its gradient is ours, since JAX's own divides by the gaps between
singular values, and gives NaN where two are equal.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.decomposition.svd_jax import SVD, Matrices, Matrix, check_finite, check_rank, inverse_or_zero, svd_gradient
from minillm.errors import InputError

SingularValues = Float[Any, "*batch R"]


@checked
def truncated_svd(matrix: Matrices, rank: int) -> SVD:
    """As the reference; inside `jit` a matrix that is not finite gives NaN."""
    check_rank(rank, matrix.shape[-2:], "truncated_svd")
    check_finite(matrix)
    return _truncated_svd(matrix, rank)


@partial(jax.jit, static_argnames="rank")
def _truncated_svd(matrix: Matrices, rank: int) -> SVD:
    u, s, vt = _svd(matrix)
    return SVD(u[..., :rank], s[..., :rank], vt[..., :rank, :])


@jax.custom_vjp
def _svd(matrix: Matrices) -> SVD:
    return SVD(*(part.astype(matrix.dtype) for part in jnp.linalg.svd(wide(matrix), full_matrices=False)))


def _forward(matrix: Matrices) -> tuple[SVD, SVD]:
    found = _svd(matrix)
    return found, found


def _backward(found: SVD, g: SVD) -> tuple[Matrices]:
    return (svd_gradient(found, g),)


_svd.defvjp(_forward, _backward)


@checked
def low_rank_approximation(matrix: Matrices, rank: int) -> Matrices:
    """As the reference."""
    check_rank(rank, matrix.shape[-2:], "low_rank_approximation")
    check_finite(matrix)
    return _low_rank_approximation(matrix, rank)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
@partial(jax.jit, static_argnums=1)
def _low_rank_approximation(matrix: Matrices, rank: int) -> Matrices:
    u, s, vt = _truncated_svd(matrix, rank)
    return (u * s[..., None, :]) @ vt


def _approximation_forward(matrix: Matrices, rank: int) -> tuple[Matrices, SVD]:
    u, s, vt = _svd(matrix)
    return (u[..., :rank] * s[..., None, :rank]) @ vt[..., :rank, :], SVD(u, s, vt)


def _approximation_backward(rank: int, found: SVD, g: Matrices) -> tuple[Matrices]:
    """Derived at the reference."""
    u, s, vt = (wide(part) for part in found)
    wide_g, ut, v = wide(g), jnp.swapaxes(u, -1, -2), jnp.swapaxes(vt, -1, -2)
    is_kept = jnp.arange(s.shape[-1]) < rank
    kept = jnp.where(is_kept, s, 0)
    least = 16 * np.finfo(s.dtype).eps * jnp.max(s, axis=-1)[..., None, None]
    columns, rows = s[..., None, :], s[..., None]
    difference = (kept[..., None] - kept[..., None, :]) * inverse_or_zero(rows - columns, least)
    difference = jnp.where(is_kept[:, None] & is_kept, 1, difference)
    total = (kept[..., None] + kept[..., None, :]) * inverse_or_zero(rows + columns, least)
    m = ut @ wide_g @ v
    mt = jnp.swapaxes(m, -1, -2)
    middle = (difference * (m + mt) + total * (m - mt)) / 2
    outside_u = jnp.where(is_kept, wide_g @ v - u @ m, 0)
    outside_v = jnp.where(is_kept[:, None], ut @ wide_g - m @ vt, 0)
    return ((u @ (middle @ vt + outside_v) + outside_u @ vt).astype(g.dtype),)


_low_rank_approximation.defvjp(_approximation_forward, _approximation_backward)


@checked
def randomized_svd(
    matrix: Matrix, rank: int, test_matrix: Float[Any, "columns samples"], power_iterations: int = 4
) -> SVD:
    """As the reference; between the products the vectors are kept apart more cheaply. Not for gradients."""
    check_finite(matrix)
    check_samples(rank, matrix.shape, test_matrix.shape[-1], power_iterations)
    return _randomized_svd(matrix, rank, test_matrix, power_iterations)


@partial(jax.jit, static_argnames=("rank", "power_iterations"))
def _randomized_svd(matrix: Matrix, rank: int, test_matrix: Any, power_iterations: int) -> SVD:
    a = wide(matrix)
    sample = test_matrix.astype(a.dtype).T @ a.T
    for _ in range(power_iterations):
        sample = (_nearly_orthonormal(sample) @ a) @ a.T
    return _from_basis(a, _nearly_orthonormal(_nearly_orthonormal(sample)), rank, matrix.dtype)


def _from_basis(a: Matrix, basis: Float[Any, "samples rows"], rank: int, dtype: Any) -> SVD:
    """A is nearly basis^T (basis A), whose small factor is decomposed."""
    v, s, ut = jnp.linalg.svd((basis @ a).T, full_matrices=False)
    found = basis.T @ ut[:rank].T, s[:rank], v[:, :rank].T
    return SVD(*(part.astype(dtype) for part in found))


@checked
def krylov_svd(matrix: Matrix, rank: int, test_matrix: Float[Any, "columns samples"], iterations: int = 4) -> SVD:
    """As the reference; the bases are made as `randomized_svd` makes them. Not for gradients."""
    check_finite(matrix)
    check_blocks(rank, matrix.shape, test_matrix.shape[-1], iterations)
    return _krylov_svd(matrix, rank, test_matrix, iterations)


@partial(jax.jit, static_argnames=("rank", "iterations"))
def _krylov_svd(matrix: Matrix, rank: int, test_matrix: Any, iterations: int) -> SVD:
    a = wide(matrix)
    block = _nearly_orthonormal(test_matrix.astype(a.dtype).T @ a.T)
    basis = block
    for _ in range(iterations):
        further = (block @ a) @ a.T
        block = _nearly_orthonormal(further - (further @ basis.T) @ basis)
        basis = jnp.concatenate([basis, block])
    return _from_basis(a, _nearly_orthonormal(_nearly_orthonormal(basis)), rank, matrix.dtype)


def _nearly_orthonormal(vectors: Float[Any, "samples rows"]) -> Float[Any, "samples rows"]:
    """The same space by Cholesky QR: two thin products, which all devices are fast at, where Householder takes turns.

    The vectors lie in rows, since so XLA:CPU multiplies them by a matrix in a half of the time. What comes out is
    orthonormal to within rounding times the square of the vectors' condition, and to within rounding when done twice; a
    small multiple of the identity keeps directions that are nothing but rounding from failing.
    """
    gram = vectors @ vectors.T
    size = jnp.trace(gram) / gram.shape[0]
    ridge = jnp.where(size > 0, 16 * np.finfo(gram.dtype).eps * size, 1)
    lower = jnp.linalg.cholesky(gram + ridge * jnp.eye(gram.shape[0], dtype=gram.dtype))
    return jax.lax.linalg.triangular_solve(lower, vectors, left_side=True, lower=True)


@jax.jit
@checked
def explained_energy(s: SingularValues) -> SingularValues:
    """As the reference."""
    largest = jnp.max(wide(s), axis=-1, keepdims=True, initial=0)
    energy = jnp.cumsum((wide(s) / jnp.where(largest > 0, largest, 1)) ** 2, axis=-1)
    total = energy[..., -1:]
    return jnp.where(total > 0, energy / jnp.where(total > 0, total, 1), 1).astype(s.dtype)


@jax.jit
@checked
def effective_rank(s: SingularValues) -> Float[Any, "*batch"]:
    """As the reference."""
    largest = jnp.max(wide(s), axis=-1, keepdims=True, initial=0)
    scaled = wide(s) / jnp.where(largest > 0, largest, 1)
    total = jnp.sum(scaled, axis=-1, keepdims=True)
    shares = scaled / jnp.where(total > 0, total, 1)
    entropy = -jnp.sum(shares * jnp.log(jnp.where(shares > 0, shares, 1)), axis=-1)
    return jnp.where(total[..., 0] > 0, jnp.exp(entropy), 0).astype(s.dtype)


@partial(jax.jit, static_argnames=("rows", "columns"))
@checked
def numerical_rank(s: SingularValues, rows: int, columns: int) -> Int[Any, "*batch"]:
    """As the reference."""
    least = jnp.finfo(s.dtype).eps * max(rows, columns) * jnp.max(s, axis=-1, keepdims=True, initial=0)
    return jnp.sum(s > least, axis=-1, dtype=jnp.int32)


def check_samples(rank: int, shape: tuple[int, ...], samples: int, power_iterations: int) -> None:
    """As the reference."""
    check_rank(rank, shape, "randomized_svd")
    if not rank <= samples <= min(shape):
        raise InputError(
            f"randomized_svd: the test matrix has {samples} columns; it needs from rank {rank} to {min(shape)}."
        )
    if power_iterations < 0:
        raise InputError(f"randomized_svd: power_iterations is {power_iterations}; it must be at least 0.")


def check_blocks(rank: int, shape: tuple[int, ...], samples: int, iterations: int) -> None:
    """As the reference."""
    check_rank(rank, shape, "krylov_svd")
    if iterations < 0:
        raise InputError(f"krylov_svd: iterations is {iterations}; it must be at least 0.")
    total = samples * (iterations + 1)
    if not rank <= total <= min(shape):
        raise InputError(
            f"krylov_svd: {iterations + 1} blocks of {samples} vectors are {total}; together they must be from rank "
            f"{rank} to {min(shape)}."
        )
