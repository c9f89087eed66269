"""Laws of the singular value decomposition and of low rank; LAPACK, and mpmath with 60 digits, as oracles."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.decomposition import low_rank, low_rank_vjp, svd
from minillm.decomposition import low_rank_jax as jax_low_rank
from minillm.decomposition import svd_jax as jax_svd
from minillm.decomposition.bidiagonal import bidiagonalise, golub_kahan_svd
from minillm.errors import InputError
from minillm.strategies import normal, seeds

ORACLE = json.loads((Path(__file__).parents[1] / "oracle" / "svd.json").read_text(encoding="utf-8"))


def power(matrix):
    R = min(matrix.shape[-2:])
    return svd.power_svd(matrix, R, normal(1, matrix.shape[-1], R))


def by_twin(matrix):
    with jax.enable_x64(True):
        return svd.SVD(*map(np.asarray, jax_svd.jacobi_svd(jnp.asarray(matrix))))


ALGORITHMS = {"jacobi": svd.jacobi_svd, "golub_kahan": golub_kahan_svd, "power": power, "jax": by_twin}
each_algorithm = pytest.mark.parametrize("decompose", ALGORITHMS.values(), ids=ALGORITHMS)
each_side = pytest.mark.parametrize("side", [low_rank, jax_low_rank], ids=["numpy", "jax"])


def kinds():
    orthogonal, _ = np.linalg.qr(normal(3, 6, 6))
    zero_inside = np.triu(normal(4, 6, 6))
    zero_inside[3, 3] = 0  # in the middle of the diagonal: the QR steps have to part there
    return {
        "tall": normal(0, 7, 5),
        "wide": normal(0, 5, 7),
        "square": normal(0, 6, 6),
        "one row": normal(0, 1, 5),
        "one column": normal(0, 5, 1),
        "one number": np.array([[-3.0]]),
        "rank 3": normal(1, 8, 3) @ normal(2, 3, 6),
        "zero": np.zeros((4, 3)),
        "zero column": normal(5, 5, 4) * [1, 0, 1, 1],
        "zero on the diagonal": zero_inside,
        "zero at the end": np.triu(normal(6, 5, 5)) * (np.arange(5) < 4),
        "shifted": np.diag(np.ones(5), 1),
        "all ones": np.ones((5, 4)),
        "orthogonal": orthogonal,
        "two and two alike": orthogonal @ np.diag([3.0, 3, 2, 2, 1, 1]) @ orthogonal[::-1],
        "graded": normal(7, 8, 8) * 10.0 ** -np.linspace(0, 12, 8),
        "huge": 1e200 * normal(8, 4, 3),
        "tiny": 1e-200 * normal(8, 4, 3),
        "batch": normal(9, 2, 3, 5, 4),
    }


each_kind = pytest.mark.parametrize("matrix", kinds().values(), ids=kinds())


def test_by_hand():
    # A^T A = [[25, 20], [20, 25]] has the eigenvalues 45 and 5, with (1, 1) and (1, -1); and A (1, 1) = (3, 9).
    u, s, vt = svd.jacobi_svd(np.array([[3.0, 0.0], [4.0, 5.0]]))
    np.testing.assert_allclose(s, np.sqrt([45, 5]))
    np.testing.assert_allclose(np.abs(vt), np.full((2, 2), 0.5**0.5))
    np.testing.assert_allclose(np.abs(u[:, 0]), np.array([1, 3]) / 10**0.5)


@each_kind
@each_algorithm
def test_a_decomposition_is_one(decompose, matrix):
    """U S V^T is the matrix, U and V are orthonormal, s falls and is that of LAPACK."""
    before = matrix.copy()
    u, s, vt = decompose(matrix)
    np.testing.assert_array_equal(matrix, before)
    rows, columns = matrix.shape[-2:]
    R, largest = min(rows, columns), max(s.max(), np.finfo(float).tiny)
    assert (u.shape[-2:], s.shape[-1:], vt.shape[-2:]) == ((rows, R), (R,), (R, columns))
    np.testing.assert_allclose((u * (s / largest)[..., None, :]) @ vt, matrix / largest, atol=1e-13)
    for basis in (np.swapaxes(u, -1, -2), vt):
        np.testing.assert_allclose(
            basis @ np.swapaxes(basis, -1, -2), np.broadcast_to(np.eye(R), (*s.shape, R)), atol=1e-12
        )
    assert np.all(s >= 0) and np.all(np.diff(s, axis=-1) <= 0)
    np.testing.assert_allclose(s / largest, np.linalg.svd(matrix, compute_uv=False) / largest, atol=1e-12)


@pytest.mark.parametrize("case", ORACLE, ids=["columns shrink", "rows grow", "tall", "no order"])
@pytest.mark.parametrize("decompose", [svd.jacobi_svd, by_twin], ids=["numpy", "jax"])
def test_jacobi_finds_the_tiny_ones_too(decompose, case):
    """To 13 digits each, though the largest is 10^12 to 10^13 times as large."""
    _, s, _ = decompose(np.array(case["matrix"]))
    np.testing.assert_allclose(s, case["singular_values"], rtol=1e-13)


def test_lapack_finds_them_less_well():
    worst = [
        np.max(np.abs(np.linalg.svd(np.array(case["matrix"]), compute_uv=False) / case["singular_values"] - 1))
        for case in ORACLE
    ]
    assert max(worst) > 1e-7


@given(seed=seeds, shape=st.sampled_from([(5, 5), (7, 3), (3, 7)]))
def test_lengths_and_turns(seed, shape):
    """|A|_F^2 is the sum of s^2; turning rows and columns, or the whole matrix over, changes no singular value."""
    matrix = normal(seed, *shape)
    s = svd.jacobi_svd(matrix).s
    np.testing.assert_allclose(np.sum(matrix**2), np.sum(s**2))
    left, right = (np.linalg.qr(normal(seed + 1 + i, size, size))[0] for i, size in enumerate(shape))
    for turned in (left @ matrix @ right, matrix.T, matrix[::-1], -matrix):
        np.testing.assert_allclose(svd.jacobi_svd(turned).s, s, atol=1e-13 * s[0])
    if shape == (5, 5):
        np.testing.assert_allclose(np.prod(s), np.abs(np.linalg.det(matrix)), rtol=1e-10)


@given(seed=seeds)
def test_a_matrix_of_two_diagonals(seed):
    matrix = normal(seed, 7, 5)
    u, b, vt = bidiagonalise(matrix)
    np.testing.assert_allclose(u @ b @ vt, matrix, atol=1e-13)
    np.testing.assert_array_equal(b, np.triu(np.tril(b, 1)))
    np.testing.assert_allclose(u.T @ u, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(vt @ vt.T, np.eye(5), atol=1e-14)


def test_power_iteration_stops_early_and_says_what_it_cannot_start_from():
    matrix = kinds()["rank 3"]
    found = svd.power_svd(matrix, 2, normal(1, 6, 2))
    np.testing.assert_allclose(found.s, np.linalg.svd(matrix, compute_uv=False)[:2])
    with pytest.raises(InputError, match="a column of start depends on those before it"):
        svd.power_svd(matrix, 2, np.zeros((6, 2)))


def test_too_few_sweeps_are_said():
    with pytest.raises(InputError, match="not perpendicular after 1 sweeps; allow more"):
        svd.jacobi_svd(normal(0, 9, 9), max_sweeps=1)


# Low rank


@each_side
@given(seed=seeds, rank=st.integers(1, 4))
def test_eckart_young(side, seed, rank):
    """The error is exactly what was left out, and no other matrix of that rank is nearer."""
    matrix = normal(seed, 7, 5)
    s = np.linalg.svd(matrix, compute_uv=False)
    with jax.enable_x64(True):
        near = np.asarray(side.low_rank_approximation(matrix, rank))
    assert np.linalg.matrix_rank(near) == rank
    error = np.sum((matrix - near) ** 2)
    np.testing.assert_allclose(error, np.sum(s[rank:] ** 2), rtol=1e-12)
    others = [near + 0.1 * normal(seed + 1, 7, rank) @ normal(seed + 2, rank, 5)]  # rank 2r; cut back to r below
    u, values, vt = np.linalg.svd(others[0])
    others = [(u[:, :rank] * values[:rank]) @ vt[:rank], matrix[:, :rank] @ np.linalg.pinv(matrix[:, :rank]) @ matrix]
    assert all(np.sum((matrix - other) ** 2) >= error * (1 - 1e-12) for other in others)


@each_side
@given(seed=seeds)
def test_randomized_is_exact_on_a_matrix_of_small_rank_and_near_on_others(side, seed):
    """Halko et al. (2011), theorem 10.6 with room to spare: within a factor of the first singular value left out."""
    random = normal(seed + 1, 11, 6)
    with jax.enable_x64(True):
        low = normal(seed, 13, 3) @ normal(seed + 2, 3, 11)
        u, s, vt = side.randomized_svd(low, 3, random)
        np.testing.assert_allclose((u * s) @ vt, low, atol=1e-12)
        matrix = normal(seed, 13, 11)
        expected = np.linalg.svd(matrix, compute_uv=False)
        errors = []
        for power_iterations in (0, 2, 30):
            u, s, vt = side.randomized_svd(matrix, 3, random, power_iterations)
            np.testing.assert_allclose(np.asarray(u).T @ u, np.eye(3), atol=1e-12)
            np.testing.assert_allclose(np.asarray(vt) @ np.asarray(vt).T, np.eye(3), atol=1e-12)
            errors.append(np.linalg.norm(matrix - (u * s) @ vt, 2) / expected[3])
    assert 1 - 1e-9 <= errors[2] < 1.05
    assert errors[2] - 1e-9 <= errors[1] < 2
    assert errors[0] < 4


@each_side
@given(seed=seeds)
def test_krylov_is_exact_on_a_matrix_of_small_rank_and_needs_fewer_vectors(side, seed):
    """On others no further from the best than power iteration with as many products and as many vectors in all."""
    with jax.enable_x64(True):
        low = normal(seed, 13, 3) @ normal(seed + 2, 3, 11)
        u, s, vt = side.krylov_svd(low, 3, normal(seed + 1, 11, 3), 1)
        np.testing.assert_allclose((u * s) @ vt, low, atol=1e-12)
        matrix = normal(seed, 40, 30)
        expected = np.linalg.svd(matrix, compute_uv=False)
        best = np.sqrt(np.sum(expected[4:] ** 2))
        u, s, vt = side.krylov_svd(matrix, 4, normal(seed + 1, 30, 4), 4)
        np.testing.assert_allclose(np.asarray(u).T @ u, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(np.asarray(vt) @ np.asarray(vt).T, np.eye(4), atol=1e-12)
        error = np.linalg.norm(matrix - (u * s) @ vt)
        assert best * (1 - 1e-12) <= error < 1.02 * best
        assert np.all(np.asarray(s) <= expected[:4] * (1 + 1e-12))


@each_side
def test_what_ranks_count(side):
    with jax.enable_x64(True):
        for number in (1, 3, 5):
            alike = np.array([2.0] * number + [0.0] * (5 - number))
            np.testing.assert_allclose(side.effective_rank(alike), number)
            np.testing.assert_allclose(side.explained_energy(alike), np.minimum(np.arange(1, 6) / number, 1))
            assert side.numerical_rank(alike, 5, 5) == number
        # Shares 3/4 and 1/4: exp of the entropy is 4 / 3^(3/4).
        np.testing.assert_allclose(side.effective_rank(np.array([3.0, 1.0])), 4 / 3**0.75)
        np.testing.assert_allclose(side.explained_energy(np.array([3.0, 1.0])), [0.9, 1.0])
        for zero in (np.zeros(3), np.zeros((2, 3))):
            np.testing.assert_array_equal(side.effective_rank(zero), np.zeros(zero.shape[:-1]))
            np.testing.assert_array_equal(side.explained_energy(zero), np.ones(zero.shape))
        rounding = np.linalg.svd(kinds()["rank 3"], compute_uv=False)
        assert rounding[3] > 0
        assert side.numerical_rank(rounding, 8, 6) == 3


# Gradients


def weighed(u, s, vt, weights):
    """A number that does not depend on signs, nor on the basis of equal singular values."""
    of_matrix, of_s = weights
    return ((of_matrix * ((u * s**2) @ vt)).sum() + (of_s * s).sum()).sum()


def slopes(function, matrix, step=1e-6):
    found = np.zeros(matrix.shape)
    for place in np.ndindex(matrix.shape):
        change = np.zeros(matrix.shape)
        change[place] = step
        found[place] = (function(matrix + change) - function(matrix - change)) / (2 * step)
    return found


@pytest.mark.parametrize(("shape", "rank"), [((5, 4), 2), ((4, 5), 3), ((4, 4), 4), ((6, 3), 3), ((3, 1), 1)])
def test_the_gradient_is_that_of_central_differences(shape, rank):
    matrix, weights = normal(0, *shape), (normal(1, *shape), normal(2, rank))
    expected = slopes(lambda m: weighed(*low_rank.truncated_svd(m, rank), weights), matrix)
    (u, s, vt), vjp = low_rank_vjp.truncated_svd_vjp(matrix, rank)
    on_u, on_v = weights[0] @ vt.T, weights[0].T @ u
    g = svd.SVD(on_u * s**2, np.sum(u * on_u, axis=0) * 2 * s + weights[1], (on_v * s**2).T)
    np.testing.assert_allclose(vjp(g)[0], expected, atol=1e-7)
    with jax.enable_x64(True):
        by_jax = jax.grad(lambda m: weighed(*jax_low_rank.truncated_svd(m, rank), weights))(matrix)

        def of_jacobi(m):
            u, s, vt = jax_svd.jacobi_svd(m)
            return weighed(u[:, :rank], s[:rank], vt[:rank], weights)

        np.testing.assert_allclose(by_jax, vjp(g)[0], atol=1e-12)
        np.testing.assert_allclose(jax.grad(of_jacobi)(matrix), by_jax, atol=1e-12)
        # One direction of each u alone, which depends on the sign that an algorithm chose: that of each algorithm.
        for name, found in (("u", g.u), ("vt", g.vt)):
            upstream = svd.SVD(*(found if part == name else np.zeros_like(getattr(g, part)) for part in g._fields))
            _, back = jax.vjp(lambda m: jax_low_rank.truncated_svd(m, rank), matrix)
            theirs = jax_low_rank.truncated_svd(matrix, rank)
            signs = np.sign(np.sum(np.asarray(theirs.u) * u, axis=0))
            turned = upstream._replace(u=upstream.u * signs, vt=upstream.vt * signs[:, None])
            np.testing.assert_allclose(back(jax_svd.SVD(*turned))[0], vjp(upstream)[0], atol=1e-11)


@pytest.mark.parametrize("values", [(3.0, 3.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 1.0), (2.0, 2.0, 0.0)])
def test_equal_singular_values_have_finite_gradients(values):
    """Right for the product, for the space and for sums; JAX's own gradient of u and v is NaN there."""
    left, right = (np.linalg.qr(normal(seed, 3, 3))[0] for seed in (1, 2))
    matrix, weight = (left * values) @ right, normal(3, 3, 3)
    rank = 2 if values[1] > values[2] else 3
    expected = slopes(lambda m: np.sum(weight * low_rank.low_rank_approximation(m, rank)), matrix)
    np.testing.assert_allclose(low_rank_vjp.low_rank_approximation_vjp(matrix, rank)[1](weight)[0], expected, atol=1e-6)

    def of_spaces(found):
        space = (weight * (found.u[:, :2] @ found.u[:, :2].T)).sum() if values[1] > values[2] else 0.0
        return space + (found.s[:rank] ** 3).sum()

    decompositions = (partial(jax_low_rank.truncated_svd, rank=rank), jax_svd.jacobi_svd)
    with jax.enable_x64(True):
        by_jax = jax.grad(lambda m: (weight * jax_low_rank.low_rank_approximation(m, rank)).sum())(matrix)
        np.testing.assert_allclose(by_jax, expected, atol=1e-6)
        expected = slopes(lambda m: of_spaces(svd.jacobi_svd(m)), matrix)
        for decompose in decompositions:
            found = jax.grad(lambda m, decompose=decompose: of_spaces(decompose(m)))(matrix)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        for whole in (matrix, np.zeros((3, 2)), np.eye(3)):
            for decompose in decompositions:
                alone = jax.grad(lambda m, decompose=decompose: decompose(m).u.sum() + decompose(m).vt.sum())
                assert rank > min(whole.shape) or np.isfinite(alone(whole)).all()


# Bad input


@pytest.mark.parametrize("side", [(svd, low_rank), (jax_svd, jax_low_rank)], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, r: s.jacobi_svd(np.array([[1.0, 2.0], [np.inf, 3.0]])), r"has inf at \(1, 0\); it must be finite"),
        (lambda s, r: r.truncated_svd(np.full((2, 2, 2), np.nan), 1), r"the matrix has nan at \(0, 0, 0\)"),
        (lambda s, r: r.low_rank_approximation(np.full((2, 2), np.nan), 1), "must be finite"),
        (lambda s, r: r.randomized_svd(np.full((2, 2), np.nan), 1, np.ones((2, 1))), "must be finite"),
        (lambda s, r: s.jacobi_svd(np.ones((0, 3))), r"shape \(0, 3\); it must have at least one row and column"),
        (lambda s, r: s.jacobi_svd(np.ones(3)), r"matrix has shape \(3,\); its axes are \(\*batch, rows, columns\)"),
        (lambda s, r: s.jacobi_svd(np.ones((2, 2), int)), "matrix has dtype int64; it must be floating-point"),
        (lambda s, r: r.truncated_svd(np.ones((2, 3)), 0), r"rank is 0 of a matrix \(2, 3\); it must be from 1 to 2"),
        (lambda s, r: r.truncated_svd(np.ones((2, 3)), 3), "rank is 3"),
        (lambda s, r: r.randomized_svd(np.ones((4, 3)), 2, np.ones((3, 1))), "has 1 columns; it needs from rank 2"),
        (lambda s, r: r.randomized_svd(np.ones((4, 3)), 2, np.ones((3, 4))), "has 4 columns"),
        (lambda s, r: r.randomized_svd(np.ones((4, 3)), 2, np.ones((4, 2))), "axis columns is 3 in matrix"),
        (lambda s, r: r.krylov_svd(np.ones((4, 3)), 2, np.ones((3, 2)), 1), "2 blocks of 2 vectors are 4; together"),
        (lambda s, r: r.krylov_svd(np.ones((4, 3)), 2, np.ones((3, 1)), 0), "1 blocks of 1 vectors are 1"),
        (lambda s, r: r.krylov_svd(np.full((4, 3), np.inf), 1, np.ones((3, 1)), 0), "it must be finite"),
        (lambda s, r: r.krylov_svd(np.ones((4, 3)), 1, np.ones((3, 1)), -1), "iterations is -1; it must be at least 0"),
        (lambda s, r: r.randomized_svd(np.ones((4, 3)), 2, np.ones((3, 2)), -1), "power_iterations is -1; it must"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(side, call, message):
    with pytest.raises(InputError, match=message):
        call(*side)


def test_inside_jit_what_is_not_finite_gives_nan_and_ends():
    matrix = jnp.ones((4, 3)).at[2, 1].set(jnp.nan)
    for decompose in (jax_svd.jacobi_svd, partial(jax_low_rank.truncated_svd, rank=2)):
        assert np.isnan(jax.jit(decompose)(matrix).s).all()


def test_a_batch_of_none():
    for decompose in (svd.jacobi_svd, golub_kahan_svd, jax_svd.jacobi_svd):
        u, s, vt = decompose(np.zeros((0, 3, 2), np.float32))
        assert (u.shape, s.shape, vt.shape) == ((0, 3, 2), (0, 2), (0, 2, 2))
