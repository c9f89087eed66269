"""Low rank in JAX.

What differs: inside `jit` a matrix that is not finite gives NaN; and the gradient of the approximation is given, since
JAX's own is 0 / 0 where two singular values are equal. The whole decomposition is XLA's own algorithm of each platform
(`fast.library`) where it is not the plain `jacobi_svd`; `fast.sketch` has the random ones with fewer steps.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.axes import checked, wide
from minillm.decomposition.fast import library, sketch
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
from minillm.decomposition.svd_gradient_jax import approximation_gradient
from minillm.decomposition.svd_jax import jacobi_svd
from minillm.forms import faster

svd = faster(library.svd)(jacobi_svd)


@checked
def truncated_svd(matrix: Matrices, rank: int) -> SVD:
    """As the reference."""
    check_rank(rank, matrix.shape[-2:], "truncated_svd")
    u, s, vt = svd(matrix)
    return SVD(u[..., :rank], s[..., :rank], vt[..., :rank, :])


@checked
def low_rank_approximation(matrix: Matrices, rank: int) -> Matrices:
    """As the reference."""
    check_finite(matrix)
    return _low_rank_approximation(matrix, rank)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _low_rank_approximation(matrix: Matrices, rank: int) -> Matrices:
    u, s, vt = truncated_svd(matrix, rank)
    return (u * s[..., None, :]) @ vt


def _forward(matrix: Matrices, rank: int) -> tuple[Matrices, SVD]:
    u, s, vt = svd(matrix)
    return (u[..., :rank] * s[..., None, :rank]) @ vt[..., :rank, :], SVD(u, s, vt)


def _backward(rank: int, whole: SVD, g: Matrices) -> tuple[Matrices]:
    return (approximation_gradient(whole, rank, g),)


_low_rank_approximation.defvjp(_forward, _backward)


@checked
@faster(sketch.randomized_svd)
def randomized_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, power_iterations: int = 4) -> SVD:
    """As the reference."""
    check_finite(matrix)
    check_samples(rank, matrix.shape, test_matrix.shape[-1], power_iterations)
    a = wide(matrix)
    basis, _ = jnp.linalg.qr(a @ test_matrix.astype(a.dtype))
    for _ in range(power_iterations):
        back, _ = jnp.linalg.qr(a.T @ basis)
        basis, _ = jnp.linalg.qr(a @ back)
    u, s, vt = jacobi_svd(basis.T @ a)
    svd = SVD(basis @ u[:, :rank], s[:rank], vt[:rank])
    return SVD(*(part.astype(matrix.dtype) for part in svd))


@checked
@faster(sketch.krylov_svd)
def krylov_svd(matrix: Matrix, rank: int, test_matrix: TestMatrix, iterations: int = 4) -> SVD:
    """As the reference."""
    check_finite(matrix)
    check_blocks(rank, matrix.shape, test_matrix.shape[-1], iterations)
    a = wide(matrix)
    block, _ = jnp.linalg.qr(a @ test_matrix.astype(a.dtype))
    basis = block
    for _ in range(iterations):
        further = a @ (a.T @ block)
        block, _ = jnp.linalg.qr(further - basis @ (basis.T @ further))
        basis = jnp.concatenate([basis, block], axis=-1)
    basis, _ = jnp.linalg.qr(basis)
    u, s, vt = jacobi_svd(basis.T @ a)
    svd = SVD(basis @ u[:, :rank], s[:rank], vt[:rank])
    return SVD(*(part.astype(matrix.dtype) for part in svd))


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
    probabilities = scaled / jnp.where(total > 0, total, 1)
    entropy = -jnp.sum(probabilities * jnp.log(jnp.where(probabilities > 0, probabilities, 1)), axis=-1)
    return jnp.where(total[..., 0] > 0, jnp.exp(entropy), 0).astype(s.dtype)


@partial(jax.jit, static_argnames=("rows", "columns"))
@checked
def numerical_rank(s: SingularValues, rows: int, columns: int) -> Int[Any, "*batch"]:
    """As the reference."""
    least = jnp.finfo(s.dtype).eps * max(rows, columns) * jnp.max(s, axis=-1, keepdims=True, initial=0)
    return jnp.sum(s > least, axis=-1, dtype=jnp.int32)
